"""Squares of change at random places, kept where the network minds them: no gradient is taken."""

import torch
from torch import Tensor, nn

from fundus_ml.attacks.search import Best, Problem, frozen, worst_of_restarts
from fundus_ml.attacks.squares import Region, bump, inside, two_bumps
from fundus_ml.attacks.threat_models import SMALLEST_NORM, ThreatModel
from fundus_ml.errors import InputError

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the squares' share of the image halves."""
TILES = 5
"""Bumps along the shorter side of the region that an l2 search starts from."""
DRAWS = 8
"""Numbers each query draws of each image: three signs, two places of two, one turn."""


def square(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    threat: ThreatModel,
    queries: int,
    target: Tensor | None = None,
    leave_solved: bool = True,
    final_check: bool = True,
    p_init: float = 0.8,
    precision: str = "auto",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Change one random square at a time and keep what raises the margin.

    It asks the network for nothing but its logit, so that a network whose gradients mislead is
    found out. Every image draws from a generator of its own: that another one leaves, or is not
    there, does not move it. More queries go on where fewer end.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        images: ``(N, 3, H, W)`` float32 in [0, 1].
        labels: ``(N,)``, 0 or 1: the class the search leads away from.
        threat: Ball (and pixel mask) the result stays inside.
        queries: Points tried of each image, besides itself.
        target: ``(N,)``, 0 or 1: towards this class instead of away from ``labels``.
        leave_solved: An image that the network names wrongly (or ``target``), by its fp32 logit,
            is finished; the passes go on with the others.
        final_check: Score what was found in fp32; where it is no worse than the image itself, the
            image comes back.
        p_init: Share of the region's pixels that the first squares cover.
        precision: Precision of the forward passes: ``auto``, ``fp32`` or ``bf16``.
        generator: Draws the seed of each image, one after the other.

    Returns:
        ``(N, 3, H, W)`` perturbed images in [0, 1], detached: of each image the point with the
        highest margin.

    Raises:
        InputError: As :func:`fundus_ml.attacks.pgd`; ``queries`` is below 1, or ``p_init`` not
            above 0 and at most 1.

    Source:
        Andriushchenko et al. 2020, arXiv:1912.00049. Theirs climbs a loss over many classes; with
        one logit that is the margin. Ours takes the paper's schedule for 10,000 queries whatever
        their number, keeps a point that is as good as the last (bf16 makes equals), lets squares
        reach the last row and column, and where there is a mask draws squares inside its bounding
        box, sized by the pixels it allows.
    """
    problem = Problem.make(model, images, labels, threat=threat, target=target, precision=precision)
    if queries < 1:
        raise InputError(f"queries={queries}: must be at least 1")
    if not 0 < p_init <= 1:
        raise InputError(f"p_init={p_init}: must be above 0 and at most 1")
    generators = _one_each(len(images), generator)

    def run(part: Problem, _: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        own = [generators[row] for row in rows.tolist()]
        return _search(part, own, queries, p_init, leave_solved=leave_solved)

    with frozen(model):
        return worst_of_restarts(
            problem,
            run,
            restarts=1,
            leave_solved=leave_solved,
            final_check=final_check,
            eight_bit=False,
        )


def share_of_pixels(query: int, p_init: float) -> float:
    """Share of the region that the square of a query covers, the first being query 0.

    >>> [share_of_pixels(query, 0.8) for query in (0, 10, 11, 51, 9000)]
    [0.8, 0.8, 0.4, 0.2, 0.0015625]
    """
    halved = sum(query > end for end in HALVED_AFTER)
    return p_init * 0.5**halved


def _one_each(count: int, generator: torch.Generator | None) -> list[torch.Generator]:
    device = "cpu" if generator is None else generator.device
    seeds = torch.randint(2**62, (count,), generator=generator, device=device)
    return [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]


def _search(
    problem: Problem,
    generators: list[torch.Generator],
    queries: int,
    p_init: float,
    *,
    leave_solved: bool,
) -> tuple[Tensor, Tensor]:
    x_adv, region = problem.images, Region.of_mask(problem.threat, problem.images)
    margins = problem.margins(x_adv)
    best, rows = Best(x_adv, margins), torch.arange(len(problem), device=x_adv.device)
    for query in range(queries):
        if leave_solved:
            solved = problem.solved(x_adv, margins)
            if bool(solved.any()):
                best.x_adv[rows[solved]], best.margins[rows[solved]] = x_adv[solved], torch.inf
                going = (~solved).nonzero().squeeze(1)
                rows, problem, region = rows[going], problem.of(going), region.of(going)
                generators = [generators[row] for row in going.tolist()]
        if not len(rows):
            break
        if query == 0:
            x_adv = _start(problem, region, generators)
        else:
            share = share_of_pixels(query, p_init)
            draws = _draw(generators, DRAWS).to(problem.images)
            x_adv = _propose(problem, region, best.x_adv[rows], share, draws)
        margins = problem.margins(x_adv)
        best.offer(x_adv, margins, rows)
    return best.x_adv, best.margins


def _start(problem: Problem, region: Region, generators: list[torch.Generator]) -> Tensor:
    """Stripes of full height for ``linf``, bumps side by side over the region for ``l2``."""
    images, threat = problem.images, problem.threat
    height, width = images.shape[2:]
    if threat.constraint == "linf":
        signs = _signs(_draw(generators, 3, 1, width)).to(images)
        return threat.project(images, images + threat.radius(images) * threat.masked(signs))
    signs = _signs(_draw(generators, 3, height, width)).to(images)
    side = (torch.minimum(region.height, region.width) // TILES).clamp(min=1)
    down, right = region.rows(images), region.columns(images)
    tile = (down // side).clamp(0, height - 1) * width + (right // side).clamp(0, width - 1)
    signs = signs.flatten(2).gather(2, tile.flatten(1)[:, None].expand(-1, 3, -1)).view_as(images)
    bumps = bump(down % side, right % side, side, centre=(side // 2, side // 2))
    return _on_the_sphere(problem, signs * (bumps * region.holds(down, right))[:, None])


def _propose(problem: Problem, region: Region, held: Tensor, share: float, draws: Tensor) -> Tensor:
    """Change one square of each image, ``held``, by what ``(N, 8)`` draws in [0, 1) say."""
    images, threat = problem.images, problem.threat
    signs = _signs(draws[:, :3, None, None])
    delta = held - images
    side = region.side(share)
    down, right = region.square(images, side, draws[:, 3:5])
    window = inside(down, right, side)[:, None]
    if threat.constraint == "linf":
        moved = torch.where(window, threat.radius(images) * signs, delta)
        return threat.project(images, images + threat.masked(moved))
    given_up = window | inside(*region.square(images, side, draws[:, 5:7]), side)[:, None]
    rotated = (draws[:, 7] < 0.5).view(-1, 1, 1)  # noqa: PLR2004 (one half)
    shape = torch.where(rotated, two_bumps(right, down, side), two_bumps(down, right, side))
    new = _unit(threat.masked(signs * (shape[:, None] * window))) + _unit(delta * window)
    spare = (threat.radius(images).square() - delta.square().sum((1, 2, 3), keepdim=True)) / 3
    budget = spare.clamp(min=0) + (delta * given_up).square().sum((2, 3), keepdim=True)
    return _on_the_sphere(problem, delta * ~given_up + budget.sqrt() * _unit(new))


def _on_the_sphere(problem: Problem, delta: Tensor) -> Tensor:
    images, threat = problem.images, problem.threat
    return threat.project(images, images + threat.radius(images) * threat.step(delta))


def _unit(change: Tensor) -> Tensor:
    """Scale each channel of each image to length one; nothing stays nothing."""
    unit: Tensor = change / (change.norm(dim=(2, 3), keepdim=True) + SMALLEST_NORM)
    return unit


def _signs(draws: Tensor) -> Tensor:
    signs: Tensor = 1 - 2 * (draws < 0.5).to(draws)  # noqa: PLR2004 (one half)
    return signs


def _draw(generators: list[torch.Generator], *shape: int) -> Tensor:
    return torch.stack([torch.rand(shape, generator=generator) for generator in generators])
