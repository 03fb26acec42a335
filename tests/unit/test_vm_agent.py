"""The guest's agent: how it moves bytes from COMMAND to the host."""

import os

from vm.in_guest.agent import CHUNK, Stream


def pipes() -> tuple[int, int, int, int]:
    """A pipe into the stream and one out of it; none of them blocks."""
    ends = (*os.pipe(), *os.pipe())
    for end in ends:
        os.set_blocking(end, False)
    return ends


def test_bytes_are_moved_and_counted() -> None:
    source, writer, reader, sink = pipes()
    stream = Stream(source, sink)
    os.write(writer, b"one\0two\n")
    assert stream.move()
    assert os.read(reader, CHUNK) == b"one\0two\n"
    assert stream.count == 8
    assert not stream.move()  # nothing now, but open still
    assert stream.open


def test_what_the_host_cannot_take_now_is_kept() -> None:
    source, writer, reader, sink = pipes()
    stream = Stream(source, sink)
    sent = received = 0
    while sent < 4 * CHUNK:
        try:
            sent += os.write(writer, b"x" * 4096)
        except BlockingIOError:
            if not stream.move():
                assert stream.wants()[0] == sink
                received += len(os.read(reader, CHUNK))
    os.close(writer)
    while stream.open or stream.pending:
        if not stream.move() and stream.open:
            received += len(os.read(reader, CHUNK))
    while data := os.read(reader, CHUNK) if received < sent else b"":
        received += len(data)
    assert received == sent == stream.count


def test_the_end_of_the_source_closes_the_stream() -> None:
    source, writer, _, sink = pipes()
    stream = Stream(source, sink)
    os.close(writer)
    assert not stream.move()
    assert not stream.open
