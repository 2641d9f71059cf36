"""The explorer without a browser: its grid, its messages, and both generations of ipywidgets."""

import base64
import copy
import io
import json

import jupyter_client
import numpy as np
import pytest
import torch
from PIL import Image
from torch import full

from deepinside import explorers
from deepinside.explorers import Answer, Control, Curve, Panel
from deepinside.explorers.widget import (
    _VIEW,
    Explorer,
    class_asked_for,
    photo_of,
    photo_title,
)
from deepinside.images import load_photo

DIM = Control("dim", "Brightness", (0.1, 1.0), start=1.0, log=True)
FILL = Control("fill", "Fill", ("gray", "stripes"), "list")
ONLY_STRIPES = Control("width", "Width", (1.0, 2.0, 4.0), start=2.0, needs=("fill", "stripes"))
PHOTO = Control("photo", "Photo", ("none", "cat"), "photo")


def drawn(states):
    """An answer a state: its texts tell of which."""
    return [
        Answer(
            [Panel(state["fill"], f"{state['fill']} at {state['dim']:g}", full((3, 8, 16), 0.5))],
            {"brightness": f"{state['dim']:.2f}", "width": f"{state.get('width', 0):g}"},
        )
        for state in states
    ]


@pytest.fixture
def explorer():
    return Explorer("A test", [DIM, FILL, ONLY_STRIPES], drawn)


@pytest.fixture
def sent(monkeypatch):
    """What explorers send, in order."""
    messages = []
    monkeypatch.setattr(Explorer, "send", lambda self, content, **_: messages.append(content))
    return messages


def ask(explorer, state, *, number="q", photo=None):
    question = {"kind": "ask", "id": number, "state": state, "photo": photo}
    explorer._receive(explorer, question, [])


def texts_of(tables, answer):
    """The alternative texts and the numbers of an answer."""
    panels, numbers = answer
    texts = tables["texts"]
    alts = [texts[alt] for _, alt, *_ in panels]
    return alts, {texts[name]: texts[value] for name, value in numbers}


def test_grid_has_an_answer_for_each_state_in_which_a_control_has_a_part(explorer):
    answers = explorer.grid["answers"]
    # the width has three values with stripes, and no part without
    assert set(answers) == {"0,0,0", "1,0,0"} | {f"{d},1,{w}" for d in "01" for w in "012"}


def test_answers_of_the_grid_are_those_of_their_states(explorer):
    for key, (alts, numbers) in {
        "0,1,2": (["stripes at 0.1"], {"brightness": "0.10", "width": "4"}),
        "1,1,0": (["stripes at 1"], {"brightness": "1.00", "width": "1"}),
        "1,0,0": (["gray at 1"], {"brightness": "1.00", "width": "1"}),
    }.items():
        assert texts_of(explorer.grid, explorer.grid["answers"][key]) == (alts, numbers)


def test_grid_is_computed_at_once_and_grainy_pictures_are_kept_small(sent):
    calls = []

    def answers(states):
        calls.append(len(states))
        panel = Panel("p", "p", full((3, 224, 224), 0.5), grainy=True)
        return [Answer([panel], {}) for _ in states]

    explorer = Explorer("A test", [DIM, FILL], answers)
    assert calls == [4]
    ask(explorer, {"dim": 0.5, "fill": "gray"})
    assert calls == [4, 1]
    kept, asked = explorer.grid["pictures"][0], sent[0]["pictures"][0]
    assert [decoded(url).width for url in (kept, asked)] == [160, 224]


def test_greeting_is_answered(explorer, sent):
    explorer._receive(explorer, {"kind": "hello"}, [])
    assert sent == [{"kind": "alive"}]


def test_value_between_is_computed_where_the_question_arrives(explorer, sent):
    for dim in (0.3, 0.4):
        ask(explorer, {"dim": dim, "fill": "gray", "width": 2.0}, number=f"at {dim}")
    assert [(reply["kind"], reply["id"]) for reply in sent] == [
        ("answer", "at 0.3"),
        ("answer", "at 0.4"),
    ]
    # with gray the width has no part: it is asked for at its first value
    assert texts_of(sent[0], sent[0]["answer"]) == (
        ["gray at 0.3"],
        {"brightness": "0.30", "width": "1"},
    )


@pytest.mark.parametrize(
    ("state", "named"),
    [
        ({"dim": 5.0, "fill": "gray", "width": 1.0}, "Brightness from 0.1 to 1, got 5"),
        ({"dim": "x", "fill": "gray", "width": 1.0}, "Brightness from 0.1 to 1, got 'x'"),
        ({"dim": float("nan"), "fill": "gray", "width": 1.0}, "Brightness from 0.1 to 1, got nan"),
        ({"dim": 0.5, "fill": "dots", "width": 1.0}, "Fill to be one of gray, stripes, got 'dots'"),
        ({"dim": True, "fill": "gray"}, "Brightness from 0.1 to 1, got True"),
        ({"dim": None, "fill": "gray"}, "Brightness from 0.1 to 1, got None"),
        ({"dim": [0.5], "fill": "gray"}, "Brightness from 0.1 to 1, got [0.5]"),
        ({"dim": 10**400, "fill": "gray"}, "Brightness from 0.1 to 1, got 1000"),
        ({"dim": 0.5, "fill": ["gray"]}, "Fill to be one of gray, stripes, got ['gray']"),
        ({"dim": 0.5, "fill": {"gray": 1}}, "Fill to be one of gray, stripes, got {'gray': 1}"),
        ({"dim": 0.5, "fill": 0}, "Fill to be one of gray, stripes, got 0"),
        ({}, "got None"),
        (None, "got None"),
        ([1, 2], "expected a state of values by control, got [1, 2]"),
        ("gray", "expected a state of values by control, got 'gray'"),
    ],
)
def test_wrong_state_is_answered_by_an_error_that_names_it(explorer, sent, state, named):
    ask(explorer, state)
    (reply,) = sent
    assert reply["kind"] == "error"
    assert named in reply["message"]


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("expected less"), "expected less"),
        (KeyError("lost"), "KeyError: 'lost'"),
        (KeyboardInterrupt(), "the computation was interrupted"),
    ],
)
def test_what_a_computation_raises_is_told_and_the_next_question_answered(sent, raised, message):
    def answers(states):
        if states[0]["dim"] == 0.5:
            raise raised
        return drawn(states)

    explorer = Explorer("A test", [DIM, FILL], answers)
    ask(explorer, {"dim": 0.5, "fill": "gray"})
    ask(explorer, {"dim": 0.6, "fill": "gray"})
    assert sent[0] == {"kind": "error", "message": message, "id": "q"}
    assert sent[1]["kind"] == "answer"


def test_own_photo_reaches_the_computation_as_a_tensor(sent):
    seen = []

    def answers(states):
        seen.append(states[0]["photo"])
        return [Answer([], {}) for _ in states]

    explorer = Explorer("A test", [PHOTO], answers)
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(file, "jpeg", quality=95)
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    ask(explorer, {"photo": "none"}, photo=url)
    assert sent[0]["kind"] == "answer"
    assert seen[-1].shape == (3, 10, 20)
    assert seen[-1][0].mean() > 0.9 > 0.1 > seen[-1][1].mean()
    # the same tensor again, so that what was found of it is known
    ask(explorer, {"photo": "none"}, photo=url)
    assert seen[-1] is seen[-2]


def large_picture():
    """A data URL of 60 million black pixels, which are few bytes."""
    file = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(file, "png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("photo", "named"),
    [
        ("data:image/png;base64,AAAA", "expected a picture"),
        ("data:image/png;base64,", "expected a picture"),
        ("data:,%%%", "expected a photo as a data URL in base64"),
        ("data:image/png;base64,AAA", "expected a photo as a data URL in base64"),
        ("cat", "expected a photo as a data URL, got 'cat'"),
        ("", "expected a photo as a data URL, got ''"),
        (7, "expected a photo as a data URL, got 7"),
        ({"a": 1}, "expected a photo as a data URL, got {'a': 1}"),
        ("data:," + "x" * 8_000_001, "at most 8,000,000 characters"),
        (large_picture(), "50,000,000"),
    ],
    ids=lambda given: str(given)[:24],
)
def test_what_is_no_photo_is_answered_by_an_error(sent, photo, named):
    explorer = Explorer("A test", [PHOTO], lambda states: [Answer([], {}) for _ in states])
    ask(explorer, {"photo": "none"}, photo=photo)
    (reply,) = sent
    assert reply["kind"] == "error"
    assert named in reply["message"]


@pytest.mark.parametrize("content", [None, [], "hello", 3])
def test_what_is_no_message_is_told(explorer, sent, content):
    explorer._receive(explorer, content, [])
    assert sent[0]["kind"] == "error"
    assert "expected a message, got" in sent[0]["message"]
    explorer._receive(explorer, {"kind": "hello"}, [])
    assert sent[1] == {"kind": "alive"}


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_what_cannot_be_sent_is_told_and_the_next_question_answered(
    explorer, monkeypatch, failures
):
    left, messages = [ConnectionError("closed")] * failures, []

    def send(_, content, **options):
        if left:
            raise left.pop()
        messages.append(content)

    monkeypatch.setattr(Explorer, "send", send)
    for number in ("1", "2", "3"):
        ask(explorer, {"dim": 0.5, "fill": "gray", "width": 2}, number=number)
    assert not left
    assert messages[-1]["kind"] == "answer"
    if failures % 2:
        told = "the answer could not be sent: ConnectionError: closed"
        assert messages[0] == {"kind": "error", "message": told, "id": messages[0]["id"]}


@pytest.mark.parametrize(
    ("values", "log", "sent_back"),
    [
        ((-4, -2, 0, 2), False, [-4, -2, 0, 2, -3.5]),
        ((-4.0, -1.0), False, [-4.0, -4, -4 - 1e-12, -1, -1 + 1e-12, -2]),
        ((1.0, 2.0), False, [1, 2, 1.5]),
        ((0.5,), False, [0.5]),
        ((0.001, 1), True, [0.001, 1, 0.03]),
        ((-1e-5, 1e5), False, [-1e-5, 0, 1e5]),
        ((np.float64(0.5), np.int64(2)), True, [0.5, 2]),
        (np.linspace(-1, 1, 3), False, [-1, 0, 1]),
        (torch.tensor([1, 2]), False, [1, 2]),
    ],
)
def test_a_slider_takes_its_values_and_those_between(sent, values, log, sent_back):
    slider = Control("dim", "Brightness", values, log=log)
    seen = []

    def answers(states):
        seen.append(states[-1]["dim"])
        return [Answer([], {}) for _ in states]

    explorer = Explorer("A test", [slider], answers)
    # what the page is sent is JSON, and numbers of NumPy are none
    json.dumps(explorer.spec)
    for value in sent_back:
        ask(explorer, {"dim": value})
    assert [message["kind"] for message in sent] == ["answer"] * len(sent_back)
    assert seen[1:] == pytest.approx(sent_back)
    low, high = float(min(values)), float(max(values))
    for outside in (low - 0.01, high + 0.01, low - 1, high + 1):
        ask(explorer, {"dim": outside})
        assert sent[-1]["kind"] == "error"


def test_typed_value_is_taken_where_a_control_is_free(sent):
    free = FILL._replace(free="or any")
    explorer = Explorer(
        "A test", [free], lambda states: [Answer([], {"fill": s["fill"]}) for s in states]
    )
    ask(explorer, {"fill": "dots"})
    assert "dots" in sent[0]["texts"]


def test_photo_of_a_state_is_the_books_or_the_readers():
    own = full((3, 4, 5), 0.5)
    assert photo_of(own) is own
    assert photo_of("cat").equal(load_photo("cat"))
    assert [photo_title(photo) for photo in ("cat", own)] == ["Chelsea the cat", "your photo"]


@pytest.mark.parametrize(
    ("controls", "named"),
    [
        ([], "controls of different names"),
        ([DIM, DIM], "controls of different names"),
        ([DIM, DIM._replace(name="over")], 'none of them "over"'),
        ([DIM._replace(values=())], "expected values for dim"),
        ([DIM._replace(start=0.5)], "the start among them"),
        ([DIM._replace(kind="knob")], '"slider", "list" or "photo"'),
        (None, "expected a list of controls, got None"),
        (DIM, "expected a list of controls"),
        ([("dim", "Brightness", (1, 2))], "expected a list of controls"),
        ([DIM._replace(name=None)], "names of letters and digits"),
        ([DIM._replace(name='a"b')], "names of letters and digits"),
        ([DIM._replace(label=None)], "expected labels for dim, got None"),
        ([DIM._replace(free=True)], "expected labels for dim"),
        ([DIM._replace(free="or any")], "a free field with a list, got one with the slider dim"),
        ([PHOTO, PHOTO._replace(name="other")], "one control for a photo at most"),
        ([DIM._replace(values=None)], "expected values for dim, got None"),
        ([DIM._replace(values=3)], "expected values for dim, got 3"),
        ([FILL._replace(values="gray")], "expected values for fill, got 'gray'"),
        ([FILL._replace(values=(1, 2))], "expected values for fill that are texts"),
        ([FILL._replace(values=("a", "b", "a"))], "expected values for fill, each once"),
        ([FILL._replace(start=["gray"])], "the start among them"),
        ([DIM._replace(values=(1, 1.0), start=None)], "expected values for dim, each once"),
        ([DIM._replace(values=(0, 1))], "dim that are numbers above 0, for its logarithm, got 0"),
        ([DIM._replace(values=(-2.0, -1.0))], "numbers above 0, for its logarithm, got -2.0"),
        ([DIM._replace(values=(1, float("nan")))], "expected values for dim that are numbers"),
        ([DIM._replace(values=(1, float("inf")))], "expected values for dim that are numbers"),
        ([DIM._replace(values=(False, True), log=False)], "dim that are numbers, got False"),
        ([DIM._replace(values=("1", "2"))], "expected values for dim that are numbers"),
        ([DIM._replace(start=True)], "expected values for dim that are numbers"),
        ([FILL, ONLY_STRIPES._replace(needs=("kind", "stripes"))], "expected width to need"),
        ([FILL, ONLY_STRIPES._replace(needs=("fill", "dots"))], "expected width to need"),
        ([FILL, ONLY_STRIPES._replace(needs="fill")], "expected width to need"),
        ([FILL, ONLY_STRIPES._replace(needs=("fill",))], "expected width to need"),
        ([FILL, DIM, ONLY_STRIPES._replace(needs=("dim", 1.0))], "expected width to need"),
        ([FILL._replace(needs=("fill", "gray"))], "expected fill to need"),
        ([DIM._replace(name=name) for name in "abcdefghijkl"], "at most 2,000 states, got 4,096"),
        (
            [DIM._replace(name=f"dim{i}", values=range(1, 200), start=None) for i in range(9)],
            "at most 100,000 combinations",
        ),
    ],
)
def test_wrong_controls_raise_before_anything_is_computed(controls, named):
    with pytest.raises(ValueError, match=named):
        Explorer("A test", controls, lambda states: pytest.fail("computed"))


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ([], "expected 2 answers, one per state, got 0"),
        (None, "expected 2 answers, one per state, got None"),
        ([None, None], "expected an Answer, got None"),
        ([([], {})] * 2, "expected an Answer"),
        ([Answer([], {"a": 1})] * 2, "expected numbers, texts by their names"),
        ([Answer([], {}, Curve("score", 1, []))] * 2, "two numbers or more"),
    ],
)
def test_missing_answers_raise(sent, found, named):
    with pytest.raises(ValueError, match=named):
        Explorer("A test", [FILL], lambda states: found)
    # and where a question is asked they are told
    explorer = Explorer(
        "A test",
        [DIM],
        lambda states: drawn([{"fill": "", **s} for s in states]) if len(states) > 1 else found[:1],
    )
    ask(explorer, {"dim": 0.5})
    assert sent[-1]["kind"] == "error"


@pytest.mark.parametrize(
    ("title", "answers"),
    [(None, drawn), (3, drawn), ("A test", None), ("A test", [Answer([], {})])],
)
def test_a_title_and_a_function_are_needed(title, answers):
    with pytest.raises(ValueError, match="expected a title, and a function from states"):
        Explorer(title, [DIM], answers)


NAMES = ("crane", "cardigan", "Straße", "7", "Cardigan", "tabby", "crane", "STRASSE", "maillot")


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ("tabby", 5),
        ("TABBY", 5),
        ("cardigan", 1),
        ("Cardigan", 4),
        ("Straße", 2),
        ("0", 0),
        ("6", 6),
        ("006", 6),
        # this name is one of a class
        ("7", 3),
        ("CARDIGAN", "give the index, 1 or 4"),
        ("crane", "give the index, 0 or 6"),
        ("strasse", "give the index, 2 or 7"),
        ("9", "a class index from 0 to 8, got 9"),
        ("-1", "expected the name of a class, got '-1'"),
        ("9" * 5000, "expected the name of a class"),
        ("٣", "expected the name of a class"),
        ("tabbi", "the nearest are tabby"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_class_is_asked_for_by_its_name_or_its_index(digits_network, monkeypatch, asked, index):
    monkeypatch.setattr(digits_network, "class_names", NAMES)
    if isinstance(index, int):
        assert class_asked_for(digits_network, asked) == index
    else:
        with pytest.raises(ValueError, match=index):
            class_asked_for(digits_network, asked)


@pytest.mark.parametrize(
    "wrong", [None, "squeezenet", torch.nn.Linear(2, 2), lambda images: images]
)
@pytest.mark.parametrize("make", [name for name in explorers.__all__ if name.endswith("_explorer")])
def test_what_is_no_network_is_refused_before_any_work(make, wrong):
    given = [wrong] * (2 if make == "class_model_explorer" else 1)
    with pytest.raises(ValueError, match="expected a Network, as load_network returns, got"):
        getattr(explorers, make)(*given)


def test_networks_of_digits_are_needed_for_class_models(digits_network):
    other = copy.copy(digits_network)
    other.class_names = NAMES
    with pytest.raises(ValueError, match="expected two networks for gray images of digits"):
        explorers.class_model_explorer(digits_network, other)
    small = copy.copy(digits_network)
    small.input_size = (8, 8)
    with pytest.raises(ValueError, match=r"expected a judge of images of .* or more, got .8, 8."):
        explorers.class_model_explorer(digits_network, small)


def test_text_names_controls_and_first_numbers(explorer):
    assert repr(explorer) == (
        "Explorer of Brightness (2) × Fill (2) × Width (3). At first: brightness 1.00; width 1"
    )


def decoded(url):
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


IN_A_KERNEL = """
import time
import torch
from deepinside.explorers import Answer, Control, Explorer, Panel

def answers(states):
    while states[0]["dim"] == 0.5:
        print("computing", flush=True)
        time.sleep(0.1)
    dims = [state["dim"] for state in states]
    return [
        Answer([Panel("p", "alt", torch.full((3, 4, 4), dim))], {"dim": f"{dim:g}"}) for dim in dims
    ]

explorer = Explorer("A test", [Control("dim", "Brightness", (0.0, 1.0))], answers)
explorer
"""


class Page:
    """What a notebook's page does: it shows the explorer of a kernel, sends and hears."""

    def __init__(self, manager, client):
        self._manager, self._client = manager, client
        request = client.execute(IN_A_KERNEL)
        messages = self._published(
            lambda message: (
                message["parent_header"].get("msg_id") == request
                and message["content"].get("execution_state") == "idle"
            )
        )
        errors = [m["content"]["traceback"] for m in messages if m["msg_type"] == "error"]
        assert not errors, "\n".join(errors[0])
        opened = [m["content"] for m in messages if m["msg_type"] == "comm_open"]
        models = {content["comm_id"]: content["data"]["state"] for content in opened}
        self.shown, self.still = [
            message["content"]["data"]
            for message in messages
            if message["msg_type"] == "display_data"
        ]
        self._comm = self.shown[_VIEW]["model_id"]
        self.model = models[self._comm]

    def _published(self, until):
        """The messages that the kernel publishes up to the one that is waited for."""
        messages = []
        while not messages or not until(messages[-1]):
            messages.append(self._client.get_iopub_msg(timeout=60))
        return messages

    def tell(self, content):
        data = {"method": "custom", "content": content}
        session = self._client.session
        message = session.msg("comm_msg", {"comm_id": self._comm, "data": data})
        self._client.shell_channel.send(message)

    def ask(self, dim, number="1"):
        self.tell({"kind": "ask", "id": number, "state": {"dim": dim}, "photo": None})

    def reply(self):
        arrived = self._published(lambda message: message["msg_type"] == "comm_msg")[-1]
        return arrived["content"]["data"]["content"]

    def interrupt_while_it_computes(self):
        self._published(lambda message: "computing" in message["content"].get("text", ""))
        self._manager.interrupt_kernel()


@pytest.fixture(scope="module")
def page():
    manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3")
    yield Page(manager, client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


# over the wire, as JupyterLab and Colab speak to it; run with either generation of ipywidgets
over_the_wire = pytest.mark.filterwarnings("ignore:.*without encryption:RuntimeWarning")


@over_the_wire
def test_in_a_real_kernel_it_is_displayed_and_answers(page):
    assert page.model["_model_module"] == "anywidget"
    assert set(page.model["grid"]["answers"]) == {"0", "1"}
    assert page.shown["text/plain"] == "Explorer of Brightness (2). At first: dim 0"
    # the picture is an output of its own: it stays when the model of the first one is gone
    assert set(page.shown) == {_VIEW, "text/plain"}
    assert page.still["text/plain"] == "Run this cell to move the controls."
    assert decoded("data:image/jpeg;base64," + page.still["image/jpeg"]).width > 100
    page.tell({"kind": "hello"})
    assert page.reply() == {"kind": "alive"}
    page.ask(0.25)
    answer = page.reply()
    assert (answer["kind"], answer["id"]) == ("answer", "1")
    assert "0.25" in answer["texts"]
    assert np.asarray(decoded(answer["pictures"][0])).mean() == pytest.approx(64, abs=3)


@over_the_wire
def test_in_a_real_kernel_an_interrupted_question_is_answered_and_the_next_one_too(page):
    page.ask(0.5, "endless")
    page.interrupt_while_it_computes()
    assert page.reply() == {
        "kind": "error",
        "message": "the computation was interrupted",
        "id": "endless",
    }
    page.ask(0.75, "next")
    assert page.reply()["id"] == "next"


@over_the_wire
def test_in_a_real_kernel_messages_are_answered_in_order(page):
    """So that a greeting tells a page that an earlier question of it was lost."""
    page.ask(0.125, "1")
    page.tell({"kind": "hello"})
    page.ask(0.25, "2")
    assert [page.reply().get("id") for _ in range(3)] == ["1", None, "2"]
