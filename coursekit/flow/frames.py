"""Bytes of one direction after the handshake in, WebSocket frames out (RFC 6455 5.2).

Rule 1  It never fails and judges nothing: a wrong frame stays visible, with what is wrong in it.
Rule 2  Payloads are shown as the application has them: unmasked, and inflated (RFC 7692).
"""

import zlib
from typing import Any

from coursekit.flow.parts import Part

NAMES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}
SHOWN = 24  # bytes of a payload


def read(data: bytes, start: int, message: int) -> list[Part]:
    """Return the frames from `start` on; `message` is that of the handshake."""
    parts: list[Part] = []
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    compressed, at = False, start
    while (ends := _ends(data, at)) and ends[1] <= len(data):
        payload = _unmasked(data, at, *ends)
        opcode = data[at] & 15
        if opcode in (1, 2):
            compressed = bool(data[at] & 0x40)  # RSV1, in the first frame of a message
        if compressed and opcode < 8:
            payload = _inflated(inflate, payload, bool(data[at] & 0x80))
        parts.append(_part(data, at, ends[1], message, payload, compressed and opcode < 8))
        at = ends[1]
    if at < len(data):
        parts.append(Part("cut off", at, len(data), message,
                          f"frame cut off, {len(data) - at} bytes"))
    return parts


def _ends(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where head and payload of a frame end; None if its length has not come."""
    if at + 2 > len(data):
        return None
    size, head = data[at + 1] & 127, at + 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        size = int.from_bytes(data[head:head + wide], "big")
        head += wide
    head += 4 if data[at + 1] & 128 else 0
    return (head, head + size) if head <= len(data) else None


def _unmasked(data: bytes, at: int, head: int, end: int) -> bytes:
    payload = data[head:end]
    if not data[at + 1] & 128 or not payload:
        return payload
    key = (data[head - 4:head] * (len(payload) // 4 + 1))[:len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return mixed.to_bytes(len(payload), "big")


def _inflated(inflate: Any, payload: bytes, last: bool) -> bytes:
    try:
        return bytes(inflate.decompress(payload + (b"\0\0\xff\xff" if last else b"")))
    except zlib.error:
        return payload


def _part(data: bytes, at: int, end: int, message: int, payload: bytes, compressed: bool) -> Part:
    opcode, fin, masked = data[at] & 15, data[at] >> 7, data[at + 1] >> 7
    name = NAMES.get(opcode, f"opcode {opcode}")
    code = int.from_bytes(payload[:2], "big") if opcode == 8 and len(payload) > 1 else 0
    size = f"{len(payload)} byte" + "s" * (len(payload) != 1)
    label = f"{name} frame{f' {code}' if code else f', {size}'}"
    flags = ["FIN" if fin else "no FIN", *["masked"] * masked, *["compressed"] * compressed]
    content = payload[2:] if code else payload
    shown = repr(content[:SHOWN]) + (" …" if len(content) > SHOWN else "") if content else ""
    info = {"opcode": f"{opcode} ({name})", "FIN": bool(fin), "RSV": data[at] >> 4 & 7,
            "mask": data[at + 2 + _wide(data[at + 1]):][:4].hex(" ") if masked else "none",
            "payload": payload[:1024].decode("latin-1")} | ({"code": code} if code else {})
    # A message counts as one, at its first frame: that is what the app sends or receives.
    return Part("frame", at, end, message, label, size=int(opcode in (1, 2)),
                note=", ".join(flags) + (f": {shown}" if shown else ""), info=info)


def _wide(second: int) -> int:
    return {126: 2, 127: 8}.get(second & 127, 0)
