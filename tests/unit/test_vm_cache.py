"""The image cache: built once, never half, rebuilt when the recipe changes."""

import dataclasses
import os
import time
from pathlib import Path

import pytest
from vm import cache, recipes
from vm.errors import VmError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDPTRACE_CACHE", str(tmp_path))


def fill(target: Path) -> None:
    (target / "file").write_text("built")


def refuse(target: Path) -> None:
    raise AssertionError("built again")


def directories(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def test_an_image_is_built_once(tmp_path: Path) -> None:
    image = cache.image("base", "a", fill)
    assert (image / "file").read_text() == "built"
    assert cache.image("base", "a", refuse) == image
    assert directories(tmp_path) == ["base-a"]


@pytest.mark.parametrize("failure", [VmError("no"), OSError("disk full"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    def fail(target: Path) -> None:
        fill(target)
        raise failure

    with pytest.raises((VmError, KeyboardInterrupt)):
        cache.image("base", "a", fail)
    assert directories(tmp_path) == []


def test_what_a_killed_build_left_is_not_taken_for_an_image(tmp_path: Path) -> None:
    left = tmp_path / "base-a.partial"
    left.mkdir()
    (left / "half").touch()
    image = cache.image("base", "a", fill)
    assert [path.name for path in image.iterdir()] == ["file"]
    assert directories(tmp_path) == ["base-a"]


def test_unused_images_of_other_recipes_are_removed(tmp_path: Path) -> None:
    for name in ("base-old", "base-used", "base-x.partial", "kernel-old"):
        (tmp_path / name).mkdir()
        age = 10 if name == "base-used" else cache.KEEP_USED_WITHIN_SECONDS + 10
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    cache.image("base", "new", fill)
    assert directories(tmp_path) == ["base-new", "base-used", "kernel-old"]


def test_an_unwritable_cache_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDPTRACE_CACHE", "/proc/udptrace")
    with pytest.raises(VmError, match="set UDPTRACE_CACHE"):
        cache.image("base", "a", refuse)


def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UDPTRACE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache.directory() == Path("/caches/udptrace")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.directory() == Path("/home/someone/.cache/udptrace")


def test_a_recipes_key_follows_what_it_holds() -> None:
    recipe = recipes.suite_recipe("trixie")
    assert recipes.key(recipe) == recipes.key(recipes.suite_recipe("trixie"))
    assert recipes.key(recipe) != recipes.key(recipes.suite_recipe("bookworm"))
    more = dataclasses.replace(recipe, packages=(*recipe.packages, "hello"))
    assert recipes.key(more) != recipes.key(recipe)
