from collections import Counter

import pytest

from lesion.formats.splits import SPLITS, assign_folds, assign_splits, fraction_of, sample_of

IDS = [f"ISIC_{number:07d}" for number in range(10_000)]


def only_train(names: list[str]) -> dict[str, str]:
    return dict.fromkeys(names, "train")


def test_official_splits_are_left_alone():
    official = {name: SPLITS[i % 3] for i, name in enumerate(IDS)}
    assert assign_splits(official, 0.3, 0.3, seed=1) == official


@pytest.mark.parametrize("present", ["validation", "test"])
def test_a_split_that_the_data_set_has_gets_nothing_of_the_training_images(present):
    official = only_train(IDS) | {"other": present}
    splits = assign_splits(official, 0.2, 0.2, seed=0)
    counts = Counter(splits.values())
    assert counts[present] == 1 and splits["other"] == present
    assert counts["test" if present == "validation" else "validation"] > 1500


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.15), (0.0, 0.3), (0.25, 0.0), (0, 0)])
@pytest.mark.parametrize("seed", [0, 7])
def test_shares_are_about_those_asked_for(validation, test, seed):
    counts = Counter(assign_splits(only_train(IDS), validation, test, seed).values())
    assert counts["validation"] / len(IDS) == pytest.approx(validation, abs=0.02)
    assert counts["test"] / len(IDS) == pytest.approx(test, abs=0.02)
    assert (counts["validation"] == 0) == (validation == 0)
    assert (counts["test"] == 0) == (test == 0)


def test_every_id_is_in_exactly_one_known_split():
    splits = assign_splits(only_train(IDS), 0.2, 0.2, seed=0)
    assert splits.keys() == set(IDS)
    assert set(splits.values()) == set(SPLITS)


def test_adding_ids_moves_none():
    few = assign_splits(only_train(IDS[::3]), 0.2, 0.2, seed=0)
    many = assign_splits(only_train(IDS), 0.2, 0.2, seed=0)
    assert {name: many[name] for name in few} == few


def test_order_of_the_ids_does_not_matter():
    assert assign_splits(only_train(IDS), 0.2, 0.2, 0) == assign_splits(
        only_train(IDS[::-1]), 0.2, 0.2, 0
    )


def test_another_seed_gives_another_split():
    first, second = (assign_splits(only_train(IDS), 0.2, 0.2, seed) for seed in (0, 1))
    assert sum(first[name] != second[name] for name in IDS) > 1000


def test_argument_is_left_as_it_was():
    official = only_train(IDS)
    assign_splits(official, 0.5, 0.3, seed=0)
    assert official == only_train(IDS)


def in_groups(names: list[str], size: int) -> dict[str, str]:
    """Every so many names in a row are near-duplicates; the first of them is their leader."""
    return {name: names[i - i % size] for i, name in enumerate(names)}


def test_near_duplicates_go_together_and_where_their_leader_would_go_alone():
    leaders = in_groups(IDS, 3)
    alone = assign_splits(only_train(IDS), 0.2, 0.2, seed=0)
    together = assign_splits(only_train(IDS), 0.2, 0.2, seed=0, leaders=leaders)
    assert set(together.values()) == set(SPLITS)
    assert all(together[name] == alone[leader] for name, leader in leaders.items())
    assert sum(together[name] != alone[name] for name in IDS) > 1000


def test_ids_without_a_leader_go_where_they_would_go_alone():
    leaders = {name: IDS[0] for name in IDS[:5]}
    alone = assign_splits(only_train(IDS), 0.2, 0.2, seed=0)
    splits = assign_splits(only_train(IDS), 0.2, 0.2, seed=0, leaders=leaders)
    assert [splits[name] for name in IDS[5:]] == [alone[name] for name in IDS[5:]]


def test_official_splits_are_left_alone_also_where_leaders_are_in_others():
    official = {name: SPLITS[i % 3] for i, name in enumerate(IDS)}
    splits = assign_splits(official, 0.3, 0.3, seed=1, leaders=in_groups(IDS, 3))
    assert splits == official


def test_adding_images_moves_none_but_those_that_get_a_new_leader():
    known = IDS[1::2]
    before_leaders = in_groups(known, 2)
    before = assign_splits(only_train(known), 0.2, 0.2, seed=0, leaders=before_leaders)
    # Of the new images, which have even numbers, some come to lead the group that follows.
    after_leaders = before_leaders.copy()
    for place in range(0, len(IDS), 100):
        after_leaders |= dict.fromkeys(IDS[place + 1 : place + 5 : 2], IDS[place])
    after = assign_splits(only_train(IDS), 0.2, 0.2, seed=0, leaders=after_leaders)
    moved = [name for name in known if after[name] != before[name]]
    assert moved
    assert all(after_leaders[name] != before_leaders[name] for name in moved)


def test_a_fraction_of_the_images_is_part_of_a_larger_one_in_their_order():
    parts = [fraction_of(IDS, fraction, seed=0) for fraction in (0.1, 0.5, 1.0)]
    assert [len(part) for part in parts] == [round(len(IDS) * f) for f in (0.1, 0.5, 1.0)]
    assert set(parts[0]) < set(parts[1]) < set(parts[2]) == set(range(len(IDS)))
    assert all(part == sorted(part) for part in parts)
    assert fraction_of(IDS, 0.1, seed=1) != parts[0]


def test_a_fraction_is_the_same_images_in_whatever_order_and_never_none():
    rows = fraction_of(IDS, 0.3, seed=0)
    turned = fraction_of(IDS[::-1], 0.3, seed=0)
    assert {IDS[row] for row in rows} == {IDS[::-1][row] for row in turned}
    assert len(fraction_of(IDS, 1e-9, seed=0)) == 1


def test_a_sample_is_part_of_a_larger_one_of_the_same_ids_and_sorted():
    samples = [sample_of(IDS, count) for count in (5, 50, len(IDS), len(IDS) + 1)]
    assert [len(sample) for sample in samples] == [5, 50, len(IDS), len(IDS)]
    assert set(samples[0]) < set(samples[1]) < set(samples[2])
    assert all(sample == sorted(sample) == sample_of(IDS[::-1], len(sample)) for sample in samples)


def test_a_sample_is_chosen_by_the_hash_that_a_fraction_is_chosen_by():
    assert sample_of(IDS, 30) == sorted(IDS[row] for row in fraction_of(IDS, 30 / len(IDS), seed=0))


def test_an_id_stays_in_the_sample_unless_a_new_one_takes_its_place():
    before, after = sample_of(IDS[::2], 40), sample_of(IDS, 40)
    assert set(after) - set(before) <= set(IDS[1::2])


def folds_of(official: dict[str, str], folds: int, **options: object) -> list[dict[str, str]]:
    return [
        assign_folds(official, 0.1, folds, fold, **{"seed": 0, **options}) for fold in range(folds)
    ]


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_each_training_id_is_tested_on_once_and_folds_are_about_equal(folds):
    tested = [
        [name for name, split in splits.items() if split == "test"]
        for splits in folds_of(only_train(IDS), folds)
    ]
    assert sorted(name for names in tested for name in names) == IDS
    assert all(len(names) == pytest.approx(len(IDS) / folds, rel=0.15) for names in tested)


def test_of_what_is_not_tested_on_a_share_is_validated_on():
    for splits in folds_of(only_train(IDS), 5):
        counts = Counter(splits.values())
        assert counts["validation"] / (len(IDS) - counts["test"]) == pytest.approx(0.1, abs=0.015)


def test_folds_leave_an_official_test_split_out_and_an_official_validation_split_alone():
    official = {name: SPLITS[i % 3] for i, name in enumerate(IDS)}
    for splits in folds_of(official, 4):
        assert splits.keys() == {name for name in IDS if official[name] != "test"}
        validated = {name for name, split in splits.items() if split == "validation"}
        assert validated == {name for name in IDS if official[name] == "validation"}


def test_near_duplicates_are_in_one_fold():
    leaders = in_groups(IDS, 3)
    for splits in folds_of(only_train(IDS), 5, leaders=leaders):
        assert all(splits[name] == splits[leader] for name, leader in leaders.items())


def test_folds_move_no_id_when_others_are_added():
    for few, many in zip(
        folds_of(only_train(IDS[::3]), 5), folds_of(only_train(IDS), 5), strict=True
    ):
        assert {name: many[name] for name in few} == few


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.7, 1.0])
def test_a_fraction_keeps_groups_whole_and_a_smaller_is_part_of_a_larger(fraction):
    groups = [f"patient {row // 4}" if row % 5 else "" for row in range(len(IDS))]
    rows = set(fraction_of(IDS, fraction, 0, groups))
    assert len(rows) == pytest.approx(fraction * len(IDS), abs=4)
    for group in {groups[row] for row in rows} - {""}:
        assert {row for row, name in enumerate(groups) if name == group} <= rows
    assert rows >= set(fraction_of(IDS, fraction / 2, 0, groups))


def test_without_groups_a_fraction_is_what_it_was():
    assert fraction_of(IDS, 0.2, 0) == fraction_of(IDS, 0.2, 0, [""] * len(IDS))
    assert sample_of(IDS, 50) == sample_of(IDS, 50, [""] * len(IDS))
