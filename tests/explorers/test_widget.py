"""The explorer without a browser: its grid, its messages, and both generations of ipywidgets."""

import base64
import io
import threading
import time

import jupyter_client
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deepinside.explorers import widget as widgets
from deepinside.explorers.widget import Answer, Control, Curve, Explorer, Panel

DIM = Control("dim", "Brightness", (0.1, 1.0), start=1.0, log=True)
FILL = Control("fill", "Fill", ("gray", "stripes"), "list")
ONLY_STRIPES = Control("width", "Width", (1.0, 2.0, 4.0), start=2.0, needs=("fill", "stripes"))
PHOTO = Control("photo", "Photo", ("none", "cat"), "photo")


def drawn(state):
    """A picture that tells its state by what is in it."""
    image = torch.full((3, 8, 16), 0.5 * state["dim"])
    if state["fill"] == "stripes":
        image[:, :, :: int(state.get("width", 2))] = 0
    panel = Panel(state["fill"], f"{state['fill']} at {state['dim']:g}", image)
    return Answer([panel], {"brightness": f"{state['dim']:.2f}"})


def all_drawn(states):
    return [drawn(one) for one in states]


@pytest.fixture
def explorer():
    return Explorer("A test", [DIM, FILL, ONLY_STRIPES], all_drawn)


@pytest.fixture
def sent(monkeypatch):
    """What explorers send, in order; waiting for a number of messages is ``sent(number)``."""
    messages = []
    monkeypatch.setattr(Explorer, "send", lambda self, content, **_: messages.append(content))

    def wait(number):
        for _ in range(500):
            if len(messages) >= number:
                return messages
            time.sleep(0.02)
        raise AssertionError(f"expected {number} messages, got {messages}")

    return wait


def ask(explorer, state, *, number="q", photo=None):
    question = {"kind": "ask", "id": number, "state": state, "photo": photo}
    explorer._receive(explorer, question, [])


def decoded(url):
    kind, encoded = url.removeprefix("data:image/").split(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.format.lower() == kind
    return picture


def test_grid_has_an_answer_for_each_state_in_which_a_control_has_a_part(explorer):
    answers = explorer.grid["answers"]
    # the width has three values with stripes, and no part without
    assert set(answers) == {"0,0,0", "1,0,0"} | {f"{d},1,{w}" for d in "01" for w in "012"}


def test_an_answer_shows_what_was_computed_for_its_state(explorer):
    texts, pictures = explorer.grid["texts"], explorer.grid["pictures"]
    panels, numbers = explorer.grid["answers"]["0,1,2"]
    ((title, alt, size, picture, mask, boxes, scale),) = panels
    assert (texts[title], texts[alt]) == ("stripes", "stripes at 0.1")
    assert [[texts[one] for one in pair] for pair in numbers] == [["brightness", "0.10"]]
    assert (size, mask, boxes, scale) == ([8, 16], -1, [], [])
    pixels = np.asarray(decoded(pictures[picture]).convert("L"), dtype=float) / 255
    assert pixels.shape == (8, 16)
    assert pixels[:, ::4].mean() < 0.03 < pixels[:, 2::4].mean()


def test_equal_pictures_and_texts_are_kept_once():
    same = Answer([Panel("a", "b", torch.zeros(3, 4, 4))], {"a": "b"})
    one = Explorer("A test", [DIM, FILL], lambda states: [same] * len(states))
    assert len(one.grid["pictures"]) == 1
    assert one.grid["texts"] == ["a", "b"]


def test_mask_is_dark_outside_and_clear_inside():
    mask = torch.zeros(6, 10, dtype=torch.bool)
    mask[1:3, 4:9] = True
    panel = Panel("p", "p", torch.ones(3, 6, 10), mask, {"found": (4, 1, 9, 3)})
    one = Explorer("A test", [FILL], lambda states: [Answer([panel], {})] * len(states))
    ((_, _, _, _, shade, boxes, _),) = one.grid["answers"]["0"][0]
    alpha = np.asarray(decoded(one.grid["pictures"][shade]).convert("RGBA"))[..., 3]
    assert (alpha[mask.numpy()] == 0).all()
    assert (alpha[~mask.numpy()] > 128).all()
    assert [one.grid["texts"][boxes[0][0]], *boxes[0][1:]] == ["found", 4, 1, 9, 3]


def test_curve_keeps_three_digits_and_leaves_out_what_is_no_number():
    curve = Curve("score", 40, [0.0, 1.23456, float("nan")])
    one = Explorer("A test", [FILL], lambda states: [Answer([], {}, curve)] * len(states))
    _, _, (title, steps, values) = one.grid["answers"]["0"]
    assert (one.grid["texts"][title], steps, values) == ("score", 40, [0.0, 1.23, None])


def test_grainy_pictures_are_smaller_in_the_grid_than_when_asked_for(sent):
    noise = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))
    one = Explorer(
        "A test",
        [DIM],
        lambda states: [Answer([Panel("n", "n", noise, grainy=True)], {}) for _ in states],
    )
    assert decoded(one.grid["pictures"][0]).size == (160, 160)
    assert one.grid["answers"]["0"][0][0][2] == [224, 224]
    ask(one, {"dim": 0.5})
    assert decoded(sent(1)[0]["pictures"][0]).size == (224, 224)


def test_greeting_is_answered(explorer, sent):
    explorer._receive(explorer, {"kind": "hello"}, [])
    assert sent(1) == [{"kind": "alive"}]


def test_value_between_is_computed(explorer, sent):
    ask(explorer, {"dim": 0.3, "fill": "gray", "width": 2.0})
    (reply,) = sent(1)
    panels, numbers = reply["answer"]
    assert (reply["kind"], reply["id"]) == ("answer", "q")
    assert reply["texts"][panels[0][1]] == "gray at 0.3"
    assert reply["texts"][numbers[0][1]] == "0.30"


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"dim": 5.0, "fill": "gray", "width": 1.0}, "Brightness from 0.1 to 1, got 5"),
        ({"dim": "x", "fill": "gray", "width": 1.0}, "Brightness from 0.1 to 1, got 'x'"),
        ({"dim": float("nan"), "fill": "gray", "width": 1.0}, "Brightness from 0.1 to 1, got nan"),
        ({"dim": 0.5, "fill": "dots", "width": 1.0}, "Fill to be one of gray, stripes, got 'dots'"),
        ({}, "got None"),
    ],
)
def test_wrong_state_is_answered_by_an_error_that_names_it(explorer, sent, state, named):
    ask(explorer, state)
    (reply,) = sent(1)
    assert reply["kind"] == "error"
    assert named in reply["message"]


def test_error_of_the_computation_is_told_and_the_next_question_answered(sent):
    def answers(states):
        if states[0]["dim"] == 0.5:
            raise KeyError("lost")
        return all_drawn(states)

    one = Explorer("A test", [DIM, FILL], answers)
    ask(one, {"dim": 0.5, "fill": "gray"})
    assert sent(1)[0] == {"kind": "error", "message": "KeyError: 'lost'", "id": "q"}
    ask(one, {"dim": 0.6, "fill": "gray"})
    assert sent(2)[1]["kind"] == "answer"


def test_own_photo_reaches_the_computation_as_a_tensor(sent):
    seen = []

    def answers(states):
        seen.append(states[0]["photo"])
        return [Answer([], {}) for _ in states]

    one = Explorer("A test", [PHOTO], answers)
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(file, "jpeg", quality=95)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    ask(one, {"photo": "none"}, photo=url)
    assert sent(1)[0]["kind"] == "answer"
    assert seen[-1].shape == (3, 10, 20)
    assert seen[-1][0].mean() > 0.9 > 0.1 > seen[-1][1].mean()


@pytest.mark.parametrize("photo", ["data:image/png;base64,AAAA", "data:,%%%", "x" * 9_000_001])
def test_what_is_no_photo_is_answered_by_an_error(sent, photo):
    one = Explorer("A test", [PHOTO], lambda states: [Answer([], {}) for _ in states])
    ask(one, {"photo": "none"}, photo="," * (len(photo) > 100) + photo)
    assert sent(1)[0]["kind"] == "error"


def test_typed_value_is_taken_where_a_control_is_free(sent):
    free = FILL._replace(free="or any")
    one = Explorer("A test", [free], lambda s: [Answer([], {"fill": x["fill"]}) for x in s])
    ask(one, {"fill": "dots"})
    assert "dots" in sent(1)[0]["texts"]


def test_newest_question_supersedes_the_one_in_work_and_those_that_wait(sent):
    """The first question would take for ever, were it not stopped at the next layer."""
    layer, entered = nn.Identity(), threading.Event()

    def answers(states):
        if states[0]["dim"] == 0.2:
            entered.set()
            while True:
                layer(torch.zeros(1))
        return all_drawn(states)

    one = Explorer("A test", [DIM, FILL], answers)
    ask(one, {"dim": 0.2, "fill": "gray"}, number="old")
    assert entered.wait(5)
    for dim in (0.3, 0.4, 0.5):
        ask(one, {"dim": dim, "fill": "gray"}, number=dim)
        layer(torch.zeros(1))  # in this thread nothing is stopped
    replies = sent(2)
    assert replies[0] == {"kind": "dropped", "id": "old"}
    assert replies[-1]["id"] == 0.5


def test_no_hook_is_left_behind(explorer, sent):
    before = len(nn.modules.module._global_forward_pre_hooks)
    ask(explorer, {"dim": 0.3, "fill": "gray", "width": 2.0})
    sent(1)
    for _ in range(100):
        if len(nn.modules.module._global_forward_pre_hooks) == before:
            return
        time.sleep(0.02)
    raise AssertionError("a hook of the worker is still there")


@pytest.mark.parametrize(
    ("controls", "named"),
    [
        ([], "controls of different names"),
        ([DIM, DIM], "controls of different names"),
        ([DIM._replace(values=())], "expected values for dim"),
        ([DIM._replace(start=0.5)], "the start among them"),
        ([DIM._replace(kind="knob")], '"slider", "list" or "photo"'),
    ],
)
def test_wrong_controls_raise_before_anything_is_computed(controls, named):
    with pytest.raises(ValueError, match=named):
        Explorer("A test", controls, lambda states: pytest.fail("computed"))


def test_missing_answers_raise():
    with pytest.raises(ValueError, match="expected 2 answers, one a state, got 0"):
        Explorer("A test", [FILL], lambda states: [])


def test_text_names_controls_and_first_numbers(explorer):
    assert repr(explorer) == (
        "Explorer of Brightness (2) × Fill (2) × Width (3). At first: brightness 1.00"
    )


IN_A_KERNEL = """
import torch
from deepinside.explorers.widget import Answer, Control, Explorer, Panel
control = Control("dim", "Brightness", (0.0, 1.0))
explorer = Explorer("A test", [control], lambda states: [
    Answer([Panel("p", "alt", torch.full((3, 4, 4), one["dim"]))], {"dim": f"{one['dim']:g}"})
    for one in states
])
explorer
"""


@pytest.fixture(scope="module")
def kernel():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def published(client, until):
    """The messages that a kernel publishes up to the one that was waited for."""
    messages = []
    while not messages or not until(messages[-1]):
        messages.append(client.get_iopub_msg(timeout=60))
    return messages


@pytest.mark.filterwarnings("ignore:.*without encryption:RuntimeWarning")
def test_in_a_real_kernel_it_is_displayed_and_answers(kernel):
    """Over the wire, as JupyterLab and Colab speak to it; run with either ipywidgets."""
    request = kernel.execute(IN_A_KERNEL)

    def idle(message):
        of_request = message["parent_header"].get("msg_id") == request
        return of_request and message["content"].get("execution_state") == "idle"

    messages = published(kernel, idle)
    errors = [one["content"]["traceback"] for one in messages if one["msg_type"] == "error"]
    assert not errors, "\n".join(errors[0])
    opened = [one["content"] for one in messages if one["msg_type"] == "comm_open"]
    models = {one["comm_id"]: one["data"]["state"] for one in opened}
    (shown,) = (one["content"]["data"] for one in messages if one["msg_type"] == "display_data")
    model = shown[widgets._VIEW]["model_id"]
    assert models[model]["_model_module"] == "anywidget"
    assert set(models[model]["grid"]["answers"]) == {"0", "1"}
    assert shown["text/plain"] == "Explorer of Brightness (2). At first: dim 0"
    assert decoded("data:image/jpeg;base64," + shown["image/jpeg"]).width > 100

    def tell(content):
        data = {"method": "custom", "content": content}
        message = kernel.session.msg("comm_msg", {"comm_id": model, "data": data})
        kernel.shell_channel.send(message)

    def reply(kind):
        def arrived(message):
            content = message["content"].get("data", {}).get("content", {})
            return message["msg_type"] == "comm_msg" and content.get("kind") == kind

        return published(kernel, arrived)[-1]["content"]["data"]["content"]

    tell({"kind": "hello"})
    reply("alive")
    tell({"kind": "ask", "id": "1", "state": {"dim": 0.25}, "photo": None})
    answer = reply("answer")
    assert "0.25" in answer["texts"]
    assert np.asarray(decoded(answer["pictures"][0])).mean() == pytest.approx(64, abs=3)
