"""HTTP as it comes over a connection: what is only half there has an end, and nobody is read for long at a time.

uvicorn has a deadline between two requests alone. It waits without end for the first, for the rest of one that is half
sent, and for a browser that does not take its answer; it reads headers of any size, and all requests that come at once.
"""

from __future__ import annotations

import asyncio
from asyncio.events import TimerHandle

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WHOLE_SECONDS = 45.0  # in which a request must have come and an answer been taken; a body has less (`security`)
PIECE_BYTES = 1 << 14  # read at a time, before it is somebody else's turn
LARGEST_HEAD_BYTES = 1 << 16  # before a body, between its parts and after it
MOST_CHUNKS = 2_000  # of a body without a length: each costs as much as a kilobyte
MOST_AT_ONCE = 16  # requests on a connection that wait for the answer to the first; browsers send one


class PunctualProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """One connection. A buffered protocol says itself how much is read at a time."""

    _timer: TimerHandle | None = None
    _head_bytes = 0  # since the last that was a body's
    _chunks = 0  # of this body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._buffer = bytearray(PIECE_BYTES)
        self._awaited: set[str] = set()
        self._await("request")

    def connection_lost(self, exc: Exception | None) -> None:
        for what in tuple(self._awaited):
            self._arrived(what)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._await("request")
        self._head_bytes += nbytes
        self.data_received(bytes(self._buffer[:nbytes]))
        too_large = self._head_bytes > LARGEST_HEAD_BYTES or self._chunks > MOST_CHUNKS
        if (too_large or len(self.pipeline) > MOST_AT_ONCE) and not self.transport.is_closing():
            self.send_400_response("Too much at once.")

    def on_message_begin(self) -> None:
        self._await("request")
        self._head_bytes = self._chunks = 0
        super().on_message_begin()

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._arrived("request")
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._await("reader")
        super().pause_writing()

    def resume_writing(self) -> None:
        self._arrived("reader")
        super().resume_writing()

    def _await(self, what: str) -> None:
        self._awaited.add(what)
        self._timer = self._timer or self.loop.call_later(WHOLE_SECONDS, self.transport.abort)

    def _arrived(self, what: str) -> None:
        self._awaited.discard(what)
        if self._timer is not None and not self._awaited:
            self._timer.cancel()
            self._timer = None
