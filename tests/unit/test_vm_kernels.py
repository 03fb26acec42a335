"""Which kernel --kernel means, and what --list prints."""

import json
import time
from pathlib import Path

import pytest
from vm import kernels, newest
from vm.errors import VmError


def seven() -> str:
    return "7.3"


def offline() -> str:
    raise VmError("no network")


@pytest.mark.parametrize(("suite", "series"), [("trixie", "6.12"), ("bookworm", "6.1")])
def test_the_default_is_the_suites_own(suite: str, series: str) -> None:
    assert kernels.select(None, suite, offline).series == series


def test_a_stable_kernel_needs_no_mirror() -> None:
    kernel = kernels.select("5.10", "trixie", offline)
    assert kernel.suites == ("bullseye", "bullseye-updates", "bullseye-security")


@pytest.mark.parametrize("name", ["7.3", "newest", "backports"])
def test_the_newest_has_three_names(name: str) -> None:
    kernel = kernels.select(name, "bookworm", seven)
    assert (kernel.series, kernel.suites) == ("7.3", ("trixie-backports",))


def test_the_newest_keeps_its_images_name_when_its_series_moves_on() -> None:
    assert kernels.select("newest", "trixie", seven).name == "newest"
    assert kernels.select("newest", "trixie", lambda: "7.4").name == "newest"


def test_an_unknown_kernel_is_told_which_there_are() -> None:
    with pytest.raises(VmError, match=r"no kernel 4\.19; there are 5\.10, 6\.1, 6\.12, 7\.3"):
        kernels.select("4.19", "trixie", seven)


def test_the_listing_names_every_kernel() -> None:
    lines = kernels.listing(seven).splitlines()
    assert [line.split()[0] for line in lines] == ["5.10", "6.1", "6.12", "7.3"]
    assert "default of --suite bookworm" in lines[1]


@pytest.mark.parametrize(
    ("package", "series"),
    [
        ("linux-image-6.12.107+deb13-amd64", "6.12"),
        ("linux-image-5.10.0-46-amd64", "5.10"),
        ("linux-image-7.3.4+deb13-amd64", "7.3"),
    ],
)
def test_the_series_is_in_the_packages_name(package: str, series: str) -> None:
    assert newest.series_of(package) == series


def test_a_strange_package_name_is_refused() -> None:
    with pytest.raises(VmError, match="linux-image-rt-amd64"):
        newest.series_of("linux-image-rt-amd64")


def test_a_fresh_answer_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDPTRACE_CACHE", str(tmp_path))
    monkeypatch.setattr(newest, "_ask", seven)
    assert newest.newest_series() == "7.3"
    monkeypatch.setattr(newest, "_ask", offline)
    assert newest.newest_series() == "7.3"


def test_an_old_answer_serves_when_the_mirror_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDPTRACE_CACHE", str(tmp_path))
    long_ago = time.time() - 2 * newest.FRESH_SECONDS
    (tmp_path / "newest-kernel.json").write_text(json.dumps({"series": "7.2", "asked": long_ago}))
    monkeypatch.setattr(newest, "_ask", offline)
    assert newest.newest_series() == "7.2"
    monkeypatch.setattr(newest, "_ask", seven)
    assert newest.newest_series() == "7.3"
