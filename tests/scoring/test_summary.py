import numpy as np
import pandas as pd
import pytest

from lesion.scoring.baselines import BASELINES
from lesion.scoring.summary import COLUMNS, GROUPED, MEANS, summarise_network, summarise_split


def rows(count: int = 30, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 1000, (count, 4))
    table = pd.DataFrame(counts, columns=["tp", "fp", "fn", "tn"]).assign(
        id=[f"ISIC_{number:07}" for number in range(count)],
        split="test",
        group="",
        **dict.fromkeys(MEANS, 0.5),
    )
    overlap = table["tp"] + table["fp"] + table["fn"]
    iou = table["tp"] / overlap
    thresholded = iou.where(iou >= 0.65, 0)
    return table.assign(iou=iou, dice=2 * iou / (1 + iou), thresholded_iou=thresholded)


def baselines(table: pd.DataFrame) -> pd.DataFrame:
    """Rows in another order, and some of images that are not asked for."""
    rng = np.random.default_rng(1)
    ids = [*table["id"], "ISIC_9999999"]
    count = len(ids)
    result = pd.DataFrame(
        {
            "id": ids,
            "lesion_share": rng.uniform(0, 0.5, count),
            "at_border": rng.random(count) < 0.5,
            "contrast": rng.uniform(0, 50, count),
            "ita": rng.uniform(-40, 70, count),
            "hair_share": rng.uniform(0, 0.03, count),
        }
    )
    for name in BASELINES:
        result[f"{name}_iou"] = rng.random(count)
        result[f"{name}_dice"] = 2 * result[f"{name}_iou"] / (1 + result[f"{name}_iou"])
    return result.sample(frac=1, random_state=0)


def value(scores: pd.DataFrame, score: str, **where: str) -> float:
    for column, wanted in where.items():
        scores = scores[scores[column] == wanted]
    return scores.set_index("score").loc[score, "value"]


def test_means_are_over_images_and_pooled_scores_over_all_pixels():
    table = rows()
    scores = summarise_network(table)
    assert value(scores, "dice") == pytest.approx(table["dice"].mean())
    assert value(scores, "failed") == pytest.approx((table["iou"] < 0.65).mean())
    tp, fp, fn = (table[name].sum() for name in ("tp", "fp", "fn"))
    assert value(scores, "pooled_dice") == pytest.approx(2 * tp / (2 * tp + fp + fn))
    iou, dice = value(scores, "pooled_iou"), value(scores, "pooled_dice")
    assert iou == pytest.approx(dice / (2 - dice))


@pytest.mark.parametrize("count", [1, 4, 5, 30])
def test_batch_scores_are_means_over_the_pooled_scores_of_four_images_each(count):
    table = rows(count)
    dice, iou = [], []
    for start in range(0, count, 4):
        tp, fp, fn = table[["tp", "fp", "fn"]].iloc[start : start + 4].sum()
        dice.append(2 * tp / (2 * tp + fp + fn))
        iou.append(tp / (tp + fp + fn))
    assert value(summarise_network(table), "batch_dice") == pytest.approx(np.mean(dice))
    assert value(summarise_network(table), "batch_iou") == pytest.approx(np.mean(iou))


def test_intervals_hold_their_values_and_stay_among_what_scores_can_be():
    scores = summarise_network(rows(60).assign(sensitivity=1.0)).set_index("score")
    assert (scores["low"] <= scores["value"]).all() and (scores["value"] <= scores["high"]).all()
    assert (scores["low"] >= 0).all() and (scores["high"].drop(["hd95", "assd"]) <= 1).all()
    assert scores.loc["dice", "high"] > scores.loc["dice", "low"]
    assert scores.loc["sensitivity", "low"] < 1  # of 60 images none was missed, of others may be


def test_below_ten_images_nothing_has_an_interval_and_below_ten_batches_no_batch_score():
    for count, known in ((9, 0), (10, len(MEANS) + 3), (36, len(MEANS) + 3), (37, len(MEANS) + 5)):
        scores = summarise_network(rows(count))
        assert scores["value"].notna().all() and scores["low"].notna().sum() == known
        batches = scores["score"].str.startswith("batch")
        assert scores.loc[batches, "low"].notna().all() == (count == 37)


def test_images_where_nothing_is_and_nothing_was_found_are_perfect():
    table = rows(4).assign(tp=0, fp=0, fn=0, dice=1.0, iou=1.0)
    scores = summarise_network(table)
    for name in ("pooled_dice", "pooled_iou", "batch_dice", "batch_iou"):
        assert value(scores, name) == 1


def test_a_split_has_the_network_the_references_and_the_groups():
    table = rows()
    scores = summarise_split(table, baselines(table))
    assert scores.columns.tolist() == COLUMNS and (scores["split"] == "test").all()
    assert scores["method"].unique().tolist() == ["network", *BASELINES]
    whole = scores[scores["group"] == "all"]
    assert (whole["images"] == 30).all()
    own = baselines(table).set_index("id").loc[table["id"]]
    for name in BASELINES:
        iou = own[f"{name}_iou"]
        assert value(whole, "iou", method=name) == pytest.approx(iou.mean())
        assert value(whole, "thresholded_iou", method=name) == pytest.approx(
            iou.where(iou >= 0.65, 0).mean()
        )


def test_a_group_has_the_scores_of_its_images():
    table = rows()
    traits = baselines(table).set_index("id").loc[table["id"]]
    scores = summarise_split(table, baselines(table))
    touching = traits["at_border"].to_numpy()
    for group, own in (("border: touches", touching), ("border: inside", ~touching)):
        part = scores[scores["group"] == group]
        assert part["low"].notna().all() == part["high"].notna().all() == (own.sum() >= 10)
        assert part["score"].tolist() == list(GROUPED) and (part["images"] == own.sum()).all()
        assert value(part, "dice") == pytest.approx(table["dice"][own].mean())
    assert scores["group"].str.startswith("skin tone: ").any()


def test_images_without_lesion_are_a_group_of_their_own():
    table = rows()
    traits = baselines(table)
    traits.loc[traits["id"].isin(table["id"].head(4)), "lesion_share"] = 0
    groups = summarise_split(table, traits).set_index("group")["images"]
    assert (groups["size: none"] == 4).all() and (groups["border: unknown"] == 4).all()


def test_the_order_of_the_rows_changes_nothing_to_the_bit():
    table = rows()
    shuffled = table.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        summarise_split(shuffled, baselines(table).iloc[::-1]),
        summarise_split(table, baselines(table)),
        check_exact=True,
    )
