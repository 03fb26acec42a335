"""Which mirror is taken from a machine's apt configuration."""

import pytest
from vm import mirror
from vm.errors import VmError
from vm.mirror import Mirror


def listing(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_the_machines_own_mirrors_are_taken() -> None:
    text = listing(
        "http://mirror.example/debian/|bookworm|main|Debian",
        "http://mirror.example/debian|bookworm-updates|main|Debian",
        "http://mirror.example/security|bookworm-security|main|Debian",
    )
    assert mirror.choose(text) == Mirror(
        "http://mirror.example/debian", "http://mirror.example/security"
    )


def test_before_the_first_update_there_is_no_origin() -> None:
    assert mirror.choose("http://mirror.example/debian|trixie|main|\n") == Mirror(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )


@pytest.mark.parametrize(
    "line",
    [
        "https://engines.example/linux/debian|bookworm|stable|Engines",  # another component
        "https://database.example/apt|bookworm|main|Database",  # another origin
        "http://archive.example/ubuntu|noble|main|Ubuntu",
        "http://mirror.example/debian|bookworm-backports|main|Debian",  # may be all it has
        "http://mirror.example/debian|bookworm",
        "",
    ],
)
def test_what_is_not_the_debian_archive_is_passed_over(line: str) -> None:
    with pytest.raises(VmError, match="DEBIAN_MIRROR"):
        mirror.choose(listing(line))


def test_debian_mirror_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mine.example/debian/")
    monkeypatch.delenv("DEBIAN_SECURITY_MIRROR", raising=False)
    assert mirror.find() == Mirror(
        "http://mine.example/debian", "http://mine.example/debian-security"
    )
    monkeypatch.setenv("DEBIAN_SECURITY_MIRROR", "http://safe.example/")
    assert mirror.find().security == "http://safe.example"


def test_security_suites_come_from_the_security_archive() -> None:
    lines = Mirror("http://m", "http://s").sources(("trixie", "trixie-security"), "/keys")
    assert lines == (
        "deb [signed-by=/keys] http://m trixie main\n"
        "deb [signed-by=/keys] http://s trixie-security main\n"
    )


def test_only_settings_for_reaching_the_mirror_are_copied() -> None:
    dump = listing(
        'Acquire "";',
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::IndexTargets::deb::Packages::Optional "0";',
        'Acquire::GzipIndexes "true";',
        'Dir::Cache "var/cache/apt";',
    )
    assert mirror.download_settings(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
    )
