"""Shouts back the text that it is told. A cell with no SDK: the standard library, and specs/proto/sidecar.md."""

import json, os, socket

body = socket.socket(socket.AF_UNIX)
body.connect(os.environ["CBS_SIDECAR_SOCKET"])
stream = body.makefile("rb")


def varint(number):  # a protobuf number as bytes
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number >> 7)


def field(number, value):  # one field of a message: a number, or bytes
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    end = next(end for end in range(at, len(data)) if data[end] < 128)
    return sum((data[i] & 127) << 7 * (i - at) for i in range(at, end + 1)), end + 1


def fields(data):  # a message: its fields by their numbers
    found, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        value, at = read_varint(data, at)
        if tag & 7 == 2:  # bytes; the number was their length
            value, at = data[at : at + value], at + value
        found[tag >> 3] = value
    return found


def say(kind, *content):
    frame = field(kind, b"".join(content))
    body.sendall(len(frame).to_bytes(4, "big") + frame)


def shout(payload):  # the envelope of the reply: a payload as it is, or a header that tells the error
    try:
        return json.dumps(json.loads(payload).upper() + "!").encode()
    except (ValueError, AttributeError):
        header = field(13, 2) + field(14, field(1, b"bad-request") + field(2, b"the input is no JSON string"))
        return b"\xcb\x01" + varint(len(header)) + header


say(1, field(1, 1), field(2, b"shout.py"), field(4, b"demo.shout"))  # hello, protocol 1
while length := stream.read(4):
    for kind, content in fields(stream.read(int.from_bytes(length, "big"))).items():
        said = fields(content) if kind <= 14 else {}  # later versions may say more: passed over
        if kind == 2:  # welcome
            say(3)  # ready
        elif kind == 4:  # request: behind 0xCB 0x01, the header's length and the header stands the payload
            header, at = read_varint(said[2], 2)
            say(5, field(1, said[1]), field(2, shout(said[2][at + header :])))  # reply
        elif kind == 11:  # ping
            say(12, field(1, said.get(1, 0)))  # pong
        elif kind == 13:  # drain: nothing runs here any more
            say(14)  # goodbye
            raise SystemExit
        elif kind == 14:  # goodbye
            raise SystemExit(said.get(1, b"").decode())
