"""What -c followed, replayed from its recording. After the others, for it ends their trace."""

from __future__ import annotations

import json

from tests.kernel.live import Live, run


def test_a_replay_of_followed_containers_prints_the_same_bytes(followed: Live) -> None:
    printed = followed.stop()
    again = run("replay", "-f", "json", str(followed.recording))
    assert again.returncode == 0, again.stderr
    assert again.stdout.encode() == printed
    assert '"name": "web"' in again.stdout


def test_a_replay_takes_containers(followed: Live) -> None:
    """Whatever has the number of its namespace by now is another's, where there are cookies."""
    followed.stop()
    done = run("replay", "-f", "json", "-c", "web", str(followed.recording))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    shown = [line for line in lines if line["kind"] == "incident"]
    assert {line["cause"] for line in shown} >= {"local-address", "remote-address", "closed"}
    for incident in shown:
        ends = [incident["netns"], incident["origin"] and incident["origin"]["netns"]]
        names = [each["name"] for end in ends if end for each in end["containers"]]
        assert "web" in names, incident


def test_an_unknown_container_in_a_replay_says_which_there_are(followed: Live) -> None:
    followed.stop()
    done = run("replay", "-c", "nobody", str(followed.recording))
    assert done.returncode == 2
    assert "no such container in the recording (there are: " in done.stderr
    assert "web" in done.stderr
