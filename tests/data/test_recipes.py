"""What changes while a network trains: the learning rate, and the images that it is shown."""

from itertools import islice

import numpy as np
import pytest

from bench.data.augmentation import SHIFT, augmented
from bench.data.recipes import RECIPES, SCHEDULES, learning_rates, stretches
from bench.executables import Training

IMAGES = np.random.default_rng(0).standard_normal((10, 16, 16, 3), np.float32)
LABELS = np.arange(10, dtype=np.int32)


def test_the_articles_rate_falls_by_three_every_quarter_of_80_epochs() -> None:
    rates = RECIPES["article"].learning_rates(1e-3, 80)
    assert rates.tolist() == [1e-3] * 20 + [1e-3 / 3] * 20 + [1e-3 / 9] * 20 + [1e-3 / 27] * 20


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 100, 399])
def test_a_short_run_sees_as_much_of_the_schedule_as_it_has_steps(steps: int) -> None:
    rates = RECIPES["article"].learning_rates(1e-3, steps)
    assert len(rates) == steps
    assert rates[0] == 1e-3
    assert len(set(rates)) == min(steps, 4)
    assert (np.diff(rates) <= 0).all()


def test_a_constant_rate_is_constant() -> None:
    assert RECIPES["constant"].learning_rates(0.05, 7).tolist() == [0.05] * 7


def in_torch(schedule: str, rate: float, steps: int) -> list[float]:
    """The rates that PyTorch's own schedulers set."""
    from torch import nn, optim
    from torch.optim import lr_scheduler

    rule = optim.SGD(nn.Linear(1, 1).parameters(), rate)
    scheduler: lr_scheduler.LRScheduler
    if schedule == "one-cycle":
        options = {"max_lr": rate, "anneal_strategy": "linear", "cycle_momentum": False}
        scheduler = lr_scheduler.OneCycleLR(rule, total_steps=steps, **options)
    else:
        warm_up = steps // 10
        first = lr_scheduler.LinearLR(rule, 1 / (warm_up + 1), total_iters=warm_up)
        second = lr_scheduler.CosineAnnealingLR(rule, steps - warm_up)
        scheduler = lr_scheduler.SequentialLR(rule, [first, second], milestones=[warm_up])
    rates = []
    for _ in range(steps):
        rates.append(rule.param_groups[0]["lr"])
        rule.step()
        if len(rates) < steps:
            scheduler.step()
    return rates


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # which SequentialLR itself passes
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [20, 73, 400])
def test_a_schedule_has_the_rates_of_pytorchs_own(schedule: str, steps: int) -> None:
    rates = learning_rates(Training("sgd", schedule=schedule), 0.05, steps)
    assert rates.tolist() == pytest.approx(in_torch(schedule, 0.05, steps), rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9, 10, 1001])
def test_a_schedule_of_any_length_stays_above_0_and_at_most_at_its_rate(
    schedule: str, steps: int
) -> None:
    rates = learning_rates(Training("adamw", schedule=schedule), 1e-3, steps)
    assert rates.shape == (steps,)
    assert (rates > 0).all()
    assert rates.max() <= 1e-3 * (1 + 1e-12)


def test_without_a_schedule_the_recipe_decides() -> None:
    assert learning_rates(Training("sgd", "augmented"), 0.05, 3).tolist() == [0.05] * 3
    assert len(set(learning_rates(Training("sgd", "article"), 0.05, 8))) == 4


def test_stretches_hold_every_step_at_its_rate() -> None:
    rates = [1.0, 1.0, 0.5, 0.25, 0.25, 1.0]
    assert list(stretches(rates)) == [(1.0, 2), (0.5, 1), (0.25, 2), (1.0, 1)]
    assert list(stretches([])) == []


def test_augmented_images_are_moved_and_mirrored_ones() -> None:
    stream = augmented(IMAGES, LABELS, 5, seed=0)
    framed = np.pad(IMAGES, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    seen = set()
    for images, labels in islice(stream, 40):
        assert images.shape == (5, 16, 16, 3)
        assert images.dtype == np.float32
        for image, label in zip(images, labels, strict=True):
            places = [
                (top, left, mirrored)
                for top in range(2 * SHIFT + 1)
                for left in range(2 * SHIFT + 1)
                for mirrored in (False, True)
                if np.array_equal(
                    image[:, ::-1] if mirrored else image,
                    framed[label, top : top + 16, left : left + 16],
                )
            ]
            assert len(places) == 1
            seen.update(places)
    assert len(seen) > 100  # of 162


def test_every_epoch_holds_every_image_once_in_another_order() -> None:
    stream = augmented(IMAGES, LABELS, 5, seed=0)
    epochs = [np.concatenate([next(stream)[1] for _ in range(2)]).tolist() for _ in range(3)]
    assert all(sorted(epoch) == LABELS.tolist() for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


def test_the_seed_alone_decides_what_comes() -> None:
    first, again, other = (next(augmented(IMAGES, LABELS, 5, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_a_batch_that_is_not_full_is_dropped() -> None:
    stream = augmented(IMAGES, LABELS, 4, seed=0)
    assert {len(next(stream)[1]) for _ in range(5)} == {4}
