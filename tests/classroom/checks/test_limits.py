"""Right answers written in several ways, and for each hint a wrong answer that gets it."""

import copy
import math

import numpy as np
import torch
from scipy import ndimage, stats
from skimage import filters
from tables import usual_tests
from torch import nn
from torch.nn import functional as F

from deepinside import limits, measures
from deepinside.classroom.checks import TASKS
from deepinside.classroom.checks import limits as checks


def interval_of(values, generator, draws=2000, quantiles=(0.025, 0.975)):
    drawn = torch.randint(len(values), (draws, len(values)), generator=generator)
    return values[drawn].mean(1).quantile(torch.tensor(quantiles, dtype=values.dtype))


def interval_by_loop(values, generator):
    means = []
    for _ in range(2000):
        drawn = torch.randint(len(values), values.shape, generator=generator)
        means.append(values[drawn].mean().item())
    means.sort()
    return means[49], means[1950]


def interval_by_multinomial(values, generator):
    drawn = torch.multinomial(
        torch.ones(2000, len(values)), len(values), replacement=True, generator=generator
    )
    return tuple(np.percentile(values.numpy()[drawn.numpy()].mean(1), [2.5, 97.5]))


def interval_of_measures(values, generator):
    return measures.mean_interval(values, generator=generator)[1:]


def rank_by_scipy(first, second):
    return stats.spearmanr(first.flatten(), second.flatten()).statistic


def rank_by_counting(first, second):
    """A rank is the number of smaller values, and half of the equal ones."""

    def ranks(values):
        values = values.flatten()
        smaller = (values[None] < values[:, None]).sum(1)
        equal = (values[None] == values[:, None]).sum(1)
        return smaller + (equal - 1) / 2

    return torch.corrcoef(torch.stack([ranks(first), ranks(second)]))[0, 1]


def rank_of_limits(first, second):
    return limits.rank_correlation(first[None], second[None])


def weighted(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def draw_he(layer, generator):
    drawn = torch.randn(layer.weight.shape, generator=generator)
    return drawn * (2 / layer.weight[0].numel()) ** 0.5


def randomize(network, count, generator, *, draw=draw_he, bias=torch.zeros_like, pick=None):
    made = copy.deepcopy(network)
    layers = weighted(made)[-count:] if pick is None else pick(made, count)
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(draw(layer, generator))
            if layer.bias is not None:
                layer.bias.copy_(bias(layer.bias))
    return made


def randomize_by_init(network, count, generator):
    made = copy.deepcopy(network)
    layers = [m for m in made.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers[::-1][:count]:
        nn.init.normal_(
            layer.weight, std=math.sqrt(2 / layer.weight[0].numel()), generator=generator
        )
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return made


def randomize_by_state(network, count, generator):
    made = copy.deepcopy(network)
    state = made.state_dict()
    names = [name for name in state if name.endswith("weight") and state[name].ndim > 1][-count:]
    for name in names:
        inputs = state[name][0].numel()
        shape = state[name].shape
        state[name] = torch.normal(0.0, (2 / inputs) ** 0.5, shape, generator=generator)
        bias = name.replace("weight", "bias")
        if bias in state:
            state[bias] = torch.zeros_like(state[bias])
    made.load_state_dict(state)
    return made


def randomize_of_limits(network, count, generator):
    names = limits.layers_top_down(network)[:count]
    return limits.randomize_layers(network, names, generator=generator)


def edges_by_skimage(image):
    return filters.sobel(image.mean(0).numpy())


def slopes(image):
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=image.dtype)
    kernels = torch.stack([kernel, kernel.T])[:, None]
    return F.conv2d(image.mean(0)[None, None], kernels, padding=1)[0]


def edges_by_kernels(image):
    return slopes(image).norm(dim=0)


def edges_by_scipy(image):
    plane = image.numpy().sum(0)
    return np.hypot(ndimage.sobel(plane, 0), ndimage.sobel(plane, 1))


def curve(network, image, saliency, c, replacement, steps):
    order = saliency.flatten().argsort(descending=True)
    share = len(order) // steps
    curve, current = [], image.clone().flatten(1)
    for k in range(steps + 1):
        current[:, order[: k * share]] = replacement.flatten(1)[:, order[: k * share]]
        with torch.no_grad():
            scores = network(current.view_as(image)[None])
        curve.append(scores.softmax(1)[0, c])
    return torch.stack(curve)


def curve_by_ranks(network, image, saliency, c, replacement, steps):
    rank = stats.rankdata(-saliency.numpy().ravel()).reshape(saliency.shape) - 1
    probabilities = []
    for k in range(steps + 1):
        gone = torch.from_numpy(rank < k * saliency.numel() / steps)
        there = torch.where(gone, replacement, image)
        probabilities.append(F.softmax(network(there.unsqueeze(0))[0], dim=0)[c].item())
    return torch.tensor(probabilities)


def curve_by_quantiles(network, image, saliency, c, replacement, steps):
    levels = torch.linspace(1, 0, steps + 1, dtype=saliency.dtype)
    masks = [saliency > saliency.flatten().quantile(q) for q in levels[:-1]]
    masks.append(torch.ones_like(masks[0]))
    batch = torch.stack([torch.where(mask, replacement, image) for mask in masks])
    return network(batch).softmax(1)[:, c].detach()


def curve_of_limits(network, image, saliency, c, replacement, steps):
    options = {"replacement": replacement, "steps": steps}
    return limits.deletion_curve(network, image[None], saliency[None], c, **options)[0]


def gradient(network, image, c, read=lambda scores, c: scores[0, c]):
    image = image.clone().requires_grad_()
    return torch.autograd.grad(read(network(image[None]), c), image)[0]


def predicted(network, image, changed, c):
    return (gradient(network, image, c) * (changed - image)).sum().item()


def predicted_by_backward(network, image, changed, c):
    image = image.clone().requires_grad_()
    network(image[None])[0, c].backward()
    return image.grad.flatten() @ (changed - image).flatten()


def predicted_by_forward_mode(network, image, changed, c):
    def score(image):
        return network(image[None])[0, c]

    return torch.func.jvp(score, (image,), (changed - image,))[1]


def predicted_by_difference(network, image, changed, c):
    network, image, changed = copy.deepcopy(network).double(), image.double(), changed.double()
    step = 1e-6 * (changed - image)
    higher, lower = network(torch.stack([image + step, image - step]))[:, c]
    return (higher - lower) / 2e-6


RIGHT = {
    checks.check_mean_interval: [
        interval_of,
        interval_by_loop,
        interval_by_multinomial,
        interval_of_measures,
    ],
    checks.check_rank_correlation: [rank_by_scipy, rank_by_counting, rank_of_limits],
    checks.check_randomize_top: [
        randomize,
        randomize_by_init,
        randomize_by_state,
        randomize_of_limits,
    ],
    checks.check_edge_map: [edges_by_skimage, edges_by_kernels, edges_by_scipy],
    checks.check_deletion_curve: [curve, curve_by_ranks, curve_by_quantiles, curve_of_limits],
    checks.check_predicted_change: [
        predicted,
        predicted_by_backward,
        predicted_by_forward_mode,
        predicted_by_difference,
    ],
}


def interval_without_replacement(values, generator):
    orders = [torch.randperm(len(values), generator=generator) for _ in range(200)]
    means = torch.stack([values[order].mean() for order in orders])
    return means.quantile(0.025), means.quantile(0.975)


def interval_of_sums(values, generator):
    drawn = torch.randint(len(values), (2000, len(values)), generator=generator)
    return np.quantile(values[drawn].sum(1), [0.025, 0.975])


def interval_unseeded(values, generator):
    drawn = values[torch.randint(len(values), (2000, len(values)))].mean(1)
    return drawn.quantile(0.025), drawn.quantile(0.975)


def about_the_mean(half):
    return lambda values, generator: (values.mean() - half(values), values.mean() + half(values))


def draws(values, generator, number=2000):
    return values[torch.randint(len(values), (number, len(values)), generator=generator)]


def ends_of(means):
    return means.quantile(0.025), means.quantile(0.975)


def interval_of_any_seed(values, generator):
    drawn = np.random.default_rng().choice(values.numpy(), (2000, len(values)))
    return np.quantile(drawn.mean(1), [0.025, 0.975])


def interval_seeded_anew(values, generator):
    means = [draws(values, generator.manual_seed(0), 1).mean(1) for _ in range(20)]
    return ends_of(torch.cat(means))


def interval_of_half(values, generator):
    order = torch.stack([torch.randperm(len(values), generator=generator) for _ in range(2000)])
    return ends_of(values[order[:, : len(values) // 2]].mean(1))


INTERVALS = [
    (interval_seeded_anew, "Both ends are the same"),
    (lambda v, g: (draws(v, g, 1).mean(),) * 2, "Both ends are the same"),
    (interval_of_half, "a number of values that does not fit"),
    (
        lambda v, g: ends_of(v[torch.randint(len(v), (2000, 7), generator=g)].mean(1)),
        "a number of values that does not fit",
    ),
    (lambda v, g: ends_of(draws(v, g).mean(0)), "over the wrong axis"),
    (lambda v, g: ends_of(draws(v, g, 100).mean(1)), "fewer than 2000 draws"),
    (lambda v, g: interval_of(v, g, quantiles=(0.005, 0.995)), "The interval is too wide"),
    (lambda v, g: ends_of(draws(v, g)[:, :-1].mean(1)), "The interval is too wide"),
    (lambda v, g: interval_of(v, g, quantiles=(0.16, 0.84)), "The interval is too narrow"),
    (lambda v, g: np.percentile(draws(v, g).mean(1), [0.025, 0.975]), "from 0 to 100"),
    (lambda v, g: ends_of(draws(v, g).median(1).values), "Medians were taken"),
    (lambda v, g: interval_of(v, g) - v.mean(), "distances from the mean"),
    (about_the_mean(lambda v: 1.96 * v.std() / len(v) ** 0.5), "symmetric about the mean"),
    (
        lambda v, g: ends_of(v[torch.randint(len(v) - 1, (2000, len(v)), generator=g)].mean(1)),
        "The first or the last value",
    ),
    (interval_of_any_seed, "The same generator state"),
    (interval_without_replacement, "*with* replacement"),
    (lambda v, g: interval_of(v, g, quantiles=(0.05, 0.95)), "an interval of 90 %"),
    (lambda v, g: interval_of(v, g, quantiles=(0.05, 0.975)), "at *each* end"),
    (lambda v, g: interval_of(v, g).flip(0), "the wrong order"),
    (lambda v, g: (v.quantile(0.025), v.quantile(0.975)), "quantiles of the values"),
    (about_the_mean(torch.std), "standard deviation of the values"),
    (about_the_mean(lambda v: v.std() / len(v) ** 0.5), "too narrow"),
    (interval_of_sums, "The sums of the draws"),
    (lambda v, g: v.mean(), "Expected the two ends of the interval"),
    (interval_unseeded, "Other generators change nothing"),
]


def rank_with(ranks):
    def answer(first, second):
        pair = [torch.as_tensor(ranks(m.flatten().numpy())).double() for m in (first, second)]
        return torch.corrcoef(torch.stack(pair))[0, 1]

    return answer


def rank_by_formula(first, second):
    n = first.numel()
    pair = [stats.rankdata(m.flatten()) for m in (first, second)]
    return 1 - 6 * ((pair[0] - pair[1]) ** 2).sum() / (n * (n**2 - 1))


def rank_uncentered(first, second):
    pair = [torch.from_numpy(stats.rankdata(m.flatten())) for m in (first, second)]
    return F.cosine_similarity(*pair, dim=0)


def rank_without_zeros(first, second):
    kept = (first != 0) & (second != 0)
    return rank_by_scipy(first[kept], second[kept])


def rank_in_whole_numbers(first, second):
    pair = [stats.rankdata(m.flatten()).astype(int) for m in (first, second)]
    return np.corrcoef(*pair)[0, 1]


def rank_by_torch_argsort(first, second):
    places = [m.flatten().argsort() for m in (first, second)]
    return torch.corrcoef(torch.stack(places).double())[0, 1]


RANKS = [
    (rank_without_zeros, "Pixels of value 0"),
    (rank_in_whole_numbers, "rounded to whole numbers"),
    (rank_by_torch_argsort, "`argsort` gives the places"),
    (lambda a, b: -rank_by_scipy(a, b), "The sign is wrong"),
    (lambda a, b: abs(rank_by_scipy(a, b)), "The sign is lost"),
    (lambda a, b: rank_by_scipy(a, b) ** 2, "The sign is lost"),
    (lambda a, b: stats.pearsonr(stats.rankdata(a), b.flatten())[0], "one map alone"),
    (rank_with(np.sort), "The values were sorted"),
    (
        lambda a, b: np.mean([rank_by_scipy(*rows) for rows in zip(a, b, strict=True)]),
        "within each row or column",
    ),
    (lambda a, b: rank_by_scipy(a, b.T), "are paired wrongly"),
    (lambda a, b: np.cov(stats.rankdata(a), stats.rankdata(b))[0, 1], "the covariance"),
    (
        lambda a, b: rank_by_scipy(a, b) * a.numel() / (a.numel() - 1),
        "One divisor is n",
    ),
    (lambda a, b: np.corrcoef(stats.rankdata(a), stats.rankdata(b)), "the matrix"),
    (lambda a, b: rank_by_scipy(a, a), "with itself"),
    (rank_with(lambda v: v), "correlation of the values"),
    (rank_with(np.argsort), "`argsort` gives the places"),
    (rank_with(lambda v: np.argsort(-v)), "`argsort` gives the places"),
    (rank_by_formula, "equal values"),
    (rank_with(lambda v: v.argsort(kind="stable").argsort()), "equal values"),
    (lambda a, b: rank_by_scipy(a.abs(), b.abs()), "The magnitudes were ranked"),
    (rank_uncentered, "The mean was not subtracted"),
    (lambda a, b: stats.kendalltau(a.flatten(), b.flatten()).statistic, "Kendall's"),
    (lambda a, b: stats.spearmanr(a.flatten(), b.flatten()), "a p-value"),
    (lambda a, b: stats.spearmanr(a, b).statistic, "`flatten` the maps first"),
    (lambda a, b: 1 - rank_by_scipy(a, b), "1 minus the correlation"),
]


def drawing(draw):
    return lambda network, count, generator: randomize(network, count, generator, draw=draw)


def scaled(deviation):
    return drawing(
        lambda layer, g: torch.randn(layer.weight.shape, generator=g) * deviation(layer.weight)
    )


def picking(pick):
    return lambda network, count, generator: randomize(network, count, generator, pick=pick)


def shuffled(layer, generator):
    order = torch.randperm(layer.weight.numel(), generator=generator)
    return layer.weight.flatten()[order].view_as(layer.weight)


def added(layer, generator):
    size = layer.weight.std()
    return layer.weight + size * torch.randn(layer.weight.shape, generator=generator)


def default_init(network, count, generator):
    made = copy.deepcopy(network)
    for layer in weighted(made)[-count:]:
        layer.reset_parameters()
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return made


def with_lower_biases(network, count, generator):
    made = randomize(network, count, generator)
    for layer in weighted(made):
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return made


def in_place(network, count, generator):
    for layer in weighted(network)[-count:]:
        nn.init.zeros_(layer.weight)
    return network


def randomize_uniformly(network, count, generator):
    def draw(layer, generator):
        bound = math.sqrt(6 / layer.weight[0].numel())
        drawn = torch.rand(layer.weight.shape, generator=generator)
        return (2 * drawn - 1) * bound

    return randomize(network, count, generator, draw=draw)


def unrepeatable(layer, generator):
    seeded = np.random.default_rng()
    drawn = torch.from_numpy(seeded.standard_normal(layer.weight.shape)).float()
    return drawn * (2 / layer.weight[0].numel()) ** 0.5


def all_forget(kind):
    """The right layers, and every batch norm with them."""

    def answer(network, count, generator):
        made = randomize(network, count, generator)
        for layer in made.modules():
            if isinstance(layer, nn.BatchNorm2d):
                getattr(layer, kind)()
        return made

    return answer


def of_float64(network, count, generator):
    made = randomize(network, count, generator)
    for layer in weighted(made)[-count:]:
        layer.weight.data = layer.weight.data.double()
    return made


def owners_of_parameters(network, count):
    last = {id(parameter) for parameter in list(network.parameters())[-count:]}
    return [layer for layer in weighted(network) if id(layer.weight) in last]


def repeated(layer, generator):
    return draw_he(layer, generator)[:1].expand(layer.weight.shape)


LAYERS = [
    (all_forget("reset_parameters"), "A batch norm has changed"),
    (all_forget("reset_running_stats"), "A batch norm has changed"),
    (
        picking(lambda n, count: [m for m in n.modules() if hasattr(m, "weight")][-count:]),
        "A batch norm",
    ),
    (lambda *given: randomize(*given).train(), "in training mode"),
    (of_float64, "weights of torch.float64"),
    (picking(lambda n, count: weighted(n)[:-count]), "the wrong side of `count`"),
    (picking(lambda n, count: weighted(n)[-count - 1 :]), "One layer too many"),
    (picking(lambda n, count: weighted(n)[-count:-1]), "One layer too few"),
    (picking(owners_of_parameters), "weight and bias of a layer count as one"),
    (
        picking(lambda n, count: [m for m in n.modules() if isinstance(m, nn.Linear)][-count:]),
        "Layers of one kind alone",
    ),
    (drawing(repeated), "1 of 3 points: All units of a layer have the same weights"),
    (drawing(lambda layer, g: 0.3 + draw_he(layer, g)), "The mean of the new weights"),
    (randomize_uniformly, "The new weights are uniform"),
    (scaled(lambda w: 2**0.5 / w[0].numel()), "The root was taken of 2 alone"),
    (scaled(lambda w: (2 / len(w)) ** 0.5), "The units of the layer"),
    (scaled(lambda w: (2 / w.numel()) ** 0.5), "All weights of the layer"),
    (
        drawing(
            lambda layer, g: (
                torch.randn(layer.weight.shape, generator=g)
                * (2 / layer.weight[0].numel() / getattr(layer, "groups", 1)) ** 0.5
            )
        ),
        "of a grouped convolution",
    ),
    (
        scaled(lambda w: (2 / (w.shape[1] * (w.shape[2] ** 2 if w.ndim > 2 else 1))) ** 0.5),
        "A kernel was taken for square",
    ),
    (
        scaled(lambda w: (2 / (w[0].numel() + len(w) * w[0, 0].numel())) ** 0.5),
        "as Xavier's initialization",
    ),
    (lambda n, count, g: copy.deepcopy(n), "No layer has other weights"),
    (picking(lambda n, count: weighted(n)[:count]), "The *first* layers"),
    (picking(lambda n, count: weighted(n)), "All layers were drawn anew"),
    (picking(lambda n, count: [weighted(n)[-count]]), "One layer alone"),
    (
        picking(
            lambda n, count: [
                m for m in [*n.features, *n.classifier][-count:] if hasattr(m, "weight")
            ]
        ),
        "ReLU and Flatten have none",
    ),
    (lambda n, count, g: randomize(n, count, g, bias=torch.clone), "A bias of a layer that was"),
    (with_lower_biases, "The bias of a lower layer"),
    (drawing(lambda layer, g: torch.zeros_like(layer.weight)), "are the same"),
    (drawing(shuffled), "in another order"),
    (drawing(added), "resemble the old ones"),
    (drawing(lambda layer, g: torch.rand(layer.weight.shape, generator=g)), "are positive"),
    (scaled(lambda w: 2 / w[0].numel()), "multiply by its root"),
    (scaled(lambda w: 1.0), "variance 1, whatever the layer"),
    (scaled(lambda w: (2 / (w.shape[0] * w[0, 0].numel())) ** 0.5), "outputs of the layer"),
    (scaled(lambda w: (2 / w.shape[1]) ** 0.5), "The input channels alone"),
    (scaled(lambda w: (1 / w[0].numel()) ** 0.5), "variance is 1 / inputs"),
    (default_init, "The new weights are uniform"),
    (
        drawing(
            lambda layer, g: torch.randn(layer.weight.shape) * (2 / layer.weight[0].numel()) ** 0.5
        ),
        "Other generators change nothing",
    ),
    (drawing(unrepeatable), "The same generator state"),
    (in_place, "argument `network` in place"),
    (scaled(lambda w: 0.02), "should have a standard deviation of about"),
    (lambda n, count, g: weighted(n), "Expected a network, got list"),
    (lambda n, count, g: copy.deepcopy(n.features), "has other layers"),
]


def joined_edges(join):
    return lambda image: join(torch.stack([edges_by_kernels(plane[None]) for plane in image]))


EDGES = [
    (joined_edges(lambda each: each.mean(0)), "The edges of each channel were joined"),
    (lambda image: edges_by_kernels(image.amax(0)[None]), "The channels were weighed"),
    (lambda image: filters.prewitt(image.mean(0).numpy()), "another filter than Sobel's"),
    (lambda image: torch.atan2(*slopes(image)), "the direction of the gradient"),
    (lambda image: -edges_by_kernels(image), "The sign is wrong"),
    (lambda image: edges_by_kernels(image)[1:-1, 1:-1], "without `padding=1`"),
    (lambda image: slopes(image)[0].abs(), "along one axis"),
    (lambda image: slopes(image)[1], "along one axis"),
    (lambda image: slopes(image).sum(0).abs(), "so that they cancel"),
    (lambda image: slopes(image).square().sum(0), "The root is missing"),
    (lambda image: slopes(image).abs().sum(0), "the sum, or the larger"),
    (lambda image: edges_by_skimage(image[:1]), "One channel alone"),
    (lambda image: np.hypot(*np.gradient(image.mean(0).numpy())), "differences of two neighbors"),
    (lambda image: image.mean(0), "the image's brightness"),
    (lambda image: edges_by_kernels(image).T, "Rows and columns are swapped"),
    (lambda image: filters.sobel(image.numpy()), "Expected a map of the image's size"),
]


def insertion(network, image, saliency, c, replacement, steps):
    return curve(network, replacement, saliency, c, image, steps)


def curve_reading(read):
    """The right masks, another number read from the scores."""

    def answer(network, image, saliency, c, replacement, steps):
        rank = stats.rankdata(-saliency.numpy()).reshape(saliency.shape) - 1
        shares = range(0, saliency.numel() + 1, saliency.numel() // steps)
        masks = [torch.from_numpy(rank < share) for share in shares]
        batch = torch.stack([torch.where(mask, replacement, image) for mask in masks])
        return read(network(batch), c).detach()

    return answer


def curve_replacing(replace, order=lambda saliency: saliency.flatten().argsort(descending=True)):
    """A curve that goes pixel by pixel, replacing each in a way of its own."""

    def answer(network, image, saliency, c, replacement, steps):
        share, places = saliency.numel() // steps, order(saliency)
        there, found = image.clone(), []
        for k in range(steps + 1):
            for place in places[max(k - 1, 0) * share : k * share].tolist():
                replace(there, replacement, place)
            found.append(network(there[None]).softmax(1)[0, c].item())
        return found

    return answer


def one_channel(there, replacement, place):
    row, column = divmod(place, there.shape[2])
    there[0, row, column] = replacement[0, row, column]


def transposed(there, replacement, place):
    column, row = divmod(place, there.shape[2])
    there[:, row, column] = replacement[:, row, column]


def to_black(there, replacement, place):
    there.flatten(1)[:, place] = 0


def curve_forgetting(network, image, saliency, c, replacement, steps):
    order, found = saliency.flatten().argsort(descending=True).split(saliency.numel() // steps), []
    for part in [order[0][:0], *order]:
        there = image.clone()
        there.flatten(1)[:, part] = replacement.flatten(1)[:, part]
        found.append(network(there[None]).softmax(1)[0, c].item())
    return found


def curve_counting(count):
    """A curve that has replaced another number of pixels in step k, of n pixels a step."""

    def answer(network, image, saliency, c, replacement, steps):
        order = saliency.flatten().argsort(descending=True)
        stages = []
        for k in range(steps + 1):
            there = image.flatten(1).clone()
            gone = order[: max(count(k, len(order) // steps), 0)]
            there[:, gone] = replacement.flatten(1)[:, gone]
            stages.append(there.view_as(image))
        return network(torch.stack(stages)).softmax(1)[:, c].detach()

    return answer


def curve_in_training_mode(network, *rest):
    network.train()
    return curve(network, *rest)


def curve_by_places(network, image, saliency, c, replacement, steps):
    places = saliency.flatten().argsort(descending=True).view_as(saliency)
    return curve(network, image, -places.float(), c, replacement, steps)


def curve_of_each_pixel(network, image, saliency, c, replacement, steps):
    return curve(network, image, saliency, c, replacement, saliency.numel())


def curve_of_rows(network, image, saliency, *rest):
    return curve(network, image, -torch.arange(saliency.numel()).view_as(saliency).float(), *rest)


def curve_of_one_tensor(network, image, saliency, c, replacement, steps):
    order, there, images = saliency.flatten().argsort(descending=True), image.clone(), []
    for k in range(steps + 1):
        gone = order[: k * len(order) // steps]
        there.flatten(1)[:, gone] = replacement.flatten(1)[:, gone]
        images.append(there)
    return network(torch.stack(images)).softmax(1)[:, c]


def curve_of_steps_pixels(network, image, saliency, c, replacement, steps):
    return curve_counting(lambda k, n: k * steps)(network, image, saliency, c, replacement, steps)


CURVES = [
    (curve_of_one_tensor, "was one tensor changed"),
    (curve_of_steps_pixels, "for the number of pixels in a step"),
    (curve_reading(lambda scores, c: scores.softmax(1).softmax(1)[:, c]), "taken twice"),
    (curve_in_training_mode, "put into training mode"),
    (curve_by_places, "`argsort` gives the places of the pixels"),
    (curve_of_each_pixel, "There is a value for each pixel"),
    (curve_of_rows, "in the order of rows"),
    (curve_counting(lambda k, n: k * n + 1), "One pixel too many or too few"),
    (curve_counting(lambda k, n: (k + 1) * n), "a step ahead or late"),
    (curve_counting(lambda k, n: (k - 1) * n), "a step ahead or late"),
    (curve_counting(lambda k, n: k), "Too few pixels are replaced"),
    (lambda n, i, s, *rest: curve(n, i, s.abs(), *rest), "Magnitudes were ranked"),
    (curve_reading(lambda scores, c: scores.sigmoid()[:, c]), "Sigmoid was taken"),
    (curve_reading(lambda scores, c: scores.softmax(1)[:, c - 1]), "the curve of another class"),
    (curve_reading(lambda scores, c: scores.softmax(1)), "the probabilities of all classes"),
    (lambda *given: curve(*given).flip(0), "The curve runs backward"),
    (lambda *given: 1 - curve(*given), "by how much the probability falls"),
    (lambda *given: curve(*given) / curve(*given)[0], "divided by its first or largest"),
    (lambda n, i, s, *rest: curve(n, i, -s, *rest), "The lowest pixels go first"),
    (curve_reading(lambda scores, c: scores[:, c]), "This is the class score"),
    (curve_reading(lambda scores, c: scores.log_softmax(1)[:, c]), "the log-probability"),
    (curve_reading(lambda scores, c: scores.softmax(1).amax(1)), "the most probable class"),
    (curve_reading(lambda scores, c: scores.softmax(0)[:, c]), "Soft-max runs over the images"),
    (insertion, "It runs the other way"),
    (curve_forgetting, "The pixels of earlier steps"),
    (lambda *given: curve(*given)[1:], "lacks its start or its end"),
    (curve_replacing(one_channel), "Only one channel"),
    (curve_replacing(to_black), "The pixels turn black, or"),
    (curve_replacing(transposed), "Rows and columns are swapped"),
    (lambda *given: curve(*given).mean(), "the area under the curve"),
]


def real_change(network, image, changed, c):
    return network(changed[None])[0, c] - network(image[None])[0, c]


def read_as(read):
    return lambda n, image, changed, c: (gradient(n, image, c, read) * (changed - image)).sum()


def joined(join):
    return lambda n, image, changed, c: join(gradient(n, image, c), changed - image)


def left_gradients(network, image, changed, c):
    difference = changed - image.detach()
    image.requires_grad_()
    network(image[None])[0, c].backward()
    return (image.grad * difference).sum()


def twice_backward(network, image, changed, c):
    image = image.clone().requires_grad_()
    for _ in range(2):
        network(image[None])[0, c].backward()
    return (image.grad * (changed - image)).sum().item()


def in_training_mode(network, *rest):
    network.train()
    return predicted(network, *rest)


CHANGES = [
    (twice_backward, "`.backward()` was called twice"),
    (in_training_mode, "put into training mode"),
    (
        lambda *given: real_change(*given) - predicted(*given),
        "the difference of the real change",
    ),
    (joined(lambda w, d: (w * d)[0].sum()), "One channel alone takes part"),
    (joined(lambda w, d: w.sum() * d.sum()), "were added up apart"),
    (joined(lambda w, d: w.sum()), "the gradient alone"),
    (joined(lambda w, d: (w * d).sum() / d.norm()), "divided by a length"),
    (read_as(lambda scores, c: scores[0, c - 1]), "belongs to another class"),
    (read_as(lambda scores, c: F.cross_entropy(scores, torch.tensor([c]))), "Soft-max was taken"),
    (read_as(lambda scores, c: scores.softmax(1)[0, c]), "Soft-max was taken"),
    (read_as(lambda scores, c: scores.log_softmax(1)[0, c]), "Soft-max was taken"),
    (real_change, "This is the real change"),
    (joined(lambda w, d: -(w * d).sum()), "not of its negative"),
    (joined(lambda w, d: (w.relu() * d).sum()), "The gradient's sign is lost"),
    (
        lambda n, image, changed, c: (gradient(n, changed, c) * (changed - image)).sum(),
        "The gradient was taken at the changed image",
    ),
    (joined(lambda w, d: (w.abs() * d).sum()), "The gradient's sign is lost"),
    (joined(lambda w, d: (w.abs().amax(0) * d).sum()), "The gradient's sign is lost"),
    (joined(lambda w, d: (w * d).mean()), "The products are averaged"),
    (joined(lambda w, d: w * d), "The products are not summed up"),
    (
        lambda n, image, changed, c: (gradient(n, image, c) * image).sum(),
        "multiplied with an image",
    ),
    (read_as(lambda scores, c: scores.max()), "the class of the highest score"),
    (read_as(lambda scores, c: scores.sum()), "All scores were added up"),
    (
        lambda n, image, changed, c: n(image[None])[0, c] + predicted(n, image, changed, c),
        "added to the score of the image",
    ),
    (left_gradients, "gradients were left from the earlier call"),
]
WRONG = {
    checks.check_mean_interval: INTERVALS,
    checks.check_rank_correlation: RANKS,
    checks.check_randomize_top: LAYERS,
    checks.check_edge_map: EDGES,
    checks.check_deletion_curve: CURVES,
    checks.check_predicted_change: CHANGES,
}
(
    test_right_answers_pass_in_whatever_way_they_are_written,
    test_each_usual_mistake_gets_its_hint,
    test_no_hint_is_left_without_a_wrong_answer,
    test_no_mistake_gives_the_right_result,
) = usual_tests(checks, RIGHT, WRONG)


def test_other_layers_than_asked_for_are_named():
    result = checks.check_randomize_top(picking(lambda n, count: weighted(n)[1:2]))
    assert "With count=1 expected new weights in classifier.3; they are new in features.3" in (
        result.message
    )


def told_in_steps(check, answer, times=3):
    """Return what is added to the hint when the check is asked again and again."""
    return [check(answer).details for _ in range(times)]


def test_a_wrong_layer_is_named_where_the_hint_did_not_help():
    check = checks.check_randomize_top
    for answer, where in (
        (picking(lambda n, count: weighted(n)[:count]), "they are new in features.0"),
        (all_forget("reset_running_stats"), "`features.1.running_mean`"),
        (lambda n, count, g: randomize(n, count, g, bias=torch.clone), "`classifier.3.bias`"),
        (with_lower_biases, "With count=1 it shows in `features.0.bias`"),
        (drawing(lambda layer, g: torch.zeros_like(layer.weight)), "`features.0`, new weights of"),
        (scaled(lambda w: 1.0), "The weights of features.0, with 12 inputs a unit"),
    ):
        first, *later = told_in_steps(check, answer)
        assert first == ""
        assert all(where in text for text in later), later


def test_an_edge_map_is_shown_as_it_was_returned():
    def answer(image):
        edges = edges_by_kernels(image)
        edges[len(image[0]) // 3, 1] += 50
        return edges

    _, text, _ = told_in_steps(checks.check_edge_map, answer)
    assert "at [2, 1], where they differ most" in text
    image = checks.drawn_image(3, 7, 7, seed=60)
    assert f"yours {answer(image)[2, 1].item():.5g}" in text


def test_an_interval_is_shown_as_it_was_returned():
    _, text, _ = told_in_steps(checks.check_mean_interval, lambda *given: (0.5, 0.75))
    assert "yours 0.75" in text or "yours 0.5" in text


def test_a_map_that_is_not_finite_is_no_edge_map():
    result = checks.check_edge_map(lambda image: torch.full(image.shape[1:], torch.nan))
    assert result.state == "hint"


def test_the_right_layers_earn_a_point_however_their_weights_are_drawn():
    task = next(task for task in TASKS["limits"] if task.answer == "randomize_top")
    assert task.grade(scaled(lambda w: 1.0)).points == 1
    assert task.grade(picking(lambda n, count: weighted(n)[:count])).points == 0
    assert task.grade(randomize).points == 3
