"""What -c followed, replayed from its recording. After the others, for it ends their trace."""

from __future__ import annotations

from tests.kernel.live import Live, run


def test_a_replay_of_followed_containers_prints_the_same_bytes(followed: Live) -> None:
    printed = followed.stop()
    again = run("replay", "-f", "json", str(followed.recording))
    assert again.returncode == 0, again.stderr
    assert again.stdout.encode() == printed
    assert '"name": "web"' in again.stdout


def test_a_replay_takes_containers(followed: Live) -> None:
    followed.stop()
    web = run("replay", "-f", "json", "-c", "web", str(followed.recording))
    assert web.returncode == 0, web.stderr
    assert '"src": "172.17.0.2"' in web.stdout
    assert '"src": "10.88.0.2"' not in web.stdout


def test_an_unknown_container_in_a_replay_says_which_there_are(followed: Live) -> None:
    followed.stop()
    done = run("replay", "-c", "nobody", str(followed.recording))
    assert done.returncode == 2
    assert "no such container in the recording (there are: " in done.stderr
    assert "web" in done.stderr
