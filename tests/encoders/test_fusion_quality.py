"""Fusion on real features: fitting must rank better than passing through."""

from __future__ import annotations

import pytest

from benchmarks.fusion_quality import DIMS, data_folder, features, pairs, quality
from encoders.fusion import Fusion

FOLDER = data_folder() / "tiktok-features"


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no {FOLDER}; set FIRSTLIGHT_TEST_DATA")
def test_fitted_fusion_ranks_real_videos_better_than_a_pass_through() -> None:
    history, wanted = pairs(FOLDER / "trn_pairs.csv.gz"), pairs(FOLDER / "tst_pairs.csv.gz")
    items = features(FOLDER)
    plain = quality(Fusion.passthrough(DIMS, {}).fuse_many(items), history, wanted)
    fusion = Fusion.fit(items, DIMS, block_dim=256, weights={})
    fitted = quality(fusion.fuse_many(items), history, wanted)
    assert fitted[0] > 1.2 * plain[0]
    assert fitted[1] > 1.2 * plain[1]
