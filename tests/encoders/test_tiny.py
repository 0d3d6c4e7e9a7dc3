from pathlib import Path

from safetensors.torch import load_file

from encoders import Pack
from encoders.tiny import tiny_pack


def test_the_same_seed_gives_the_same_weights_wherever_they_are_built(
    tiny_models_pack: Pack, tmp_path: Path
) -> None:
    again = tiny_pack(tmp_path)
    for left, right in ((again.text, tiny_models_pack.text), (again.audio, tiny_models_pack.audio)):
        first = load_file(Path(left.source) / "model.safetensors")
        second = load_file(Path(right.source) / "model.safetensors")
        assert all(first[name].equal(second[name]) for name in first)


def test_a_built_pack_is_not_built_again(tiny_models_pack: Pack) -> None:
    folder = Path(tiny_models_pack.text.source).parent.parent
    done = Path(tiny_models_pack.text.source).parent / "done"
    before = done.stat().st_mtime_ns
    assert tiny_pack(folder) == tiny_models_pack
    assert done.stat().st_mtime_ns == before


def test_nothing_in_the_pack_needs_unpickling(tiny_models_pack: Pack) -> None:
    home = Path(tiny_models_pack.text.source).parent
    kinds = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert kinds == {".json", ".safetensors", ""}
