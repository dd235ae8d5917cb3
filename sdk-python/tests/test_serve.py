"""What other programs see of cells that are served without a body: plain messages, discovery, one body's subjects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import cbs
from cbs._message import is_framed, read_reply, read_request
from cbs._serve import Limits
from cells import shop
from serving import Served, serving


@cbs.cell("logic.greet")
async def greet(input: dict[str, str]) -> dict[str, str]:
    return {"text": f"Hello, {input['name']}!"}


@cbs.cell("logic.raw")
async def raw(value: bytes) -> bytes:
    return value


async def ask(
    served: Served, name: str, payload: bytes, headers: dict[str, str] | None = None
) -> tuple[bytes, dict[str, str]]:
    """A plain request by a client that knows nothing of CBS."""
    subject = f"cbs.{served.namespace}.cell.{name}"
    message = await served.bus.client.request(subject, payload, timeout=5, headers=headers)
    return message.data, message.headers or {}


async def test_a_bare_request_gets_a_bare_reply(nats_url: str) -> None:
    async with serving(nats_url, greet, raw) as served:
        assert await ask(served, "logic.greet", b'{"name":"Ada"}') == (b'{"text":"Hello, Ada!"}', {})
        assert await ask(served, "logic.raw", b"\x00") == (b"\x00", {"Content-Type": "application/octet-stream"})


async def test_a_bare_error_is_told_in_headers_and_as_json(nats_url: str) -> None:
    async with serving(nats_url, shop) as served:
        payload, headers = await ask(served, "shop.place", b'{"sku":1}')
        assert headers == {
            "Nats-Service-Error-Code": "400",
            "Nats-Service-Error": "bad-request: `sku`: expected `str`, got `int`",
        }
        assert json.loads(payload) == {
            "code": "bad-request",
            "message": "`sku`: expected `str`, got `int`",
            "details": {"path": "sku"},
        }
        payload, headers = await ask(served, "shop.fails", b'"swordfish"')
        assert headers["Nats-Service-Error-Code"] == "500"
        assert b"swordfish" not in payload


async def test_a_bare_requests_headers_are_understood(nats_url: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with serving(nats_url, shop) as served:
        headers = {"traceparent": trace, "Cbs-Timeout-Ms": "7000", "Nats-Msg-Id": "7", "ce-id": "x"}
        who = json.loads((await ask(served, "shop.who", b"", headers))[0])
        assert who["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
        assert who["traceparent"].endswith("-01")
        assert 0 < who["remaining"] <= 7
        assert who["attributes"] == {"nats-msg-id": "7", "ce-id": "x"}
        for wrong in ("0", "-1", "soon", "9" * 40, "٣"):
            _, told = await ask(served, "shop.who", b"", {"Cbs-Timeout-Ms": wrong})
            assert told["Nats-Service-Error"].startswith("bad-request: the header Cbs-Timeout-Ms holds")


async def test_a_frame_of_another_version_is_never_bare(nats_url: str) -> None:
    async with serving(nats_url, raw) as served:
        payload, headers = await ask(served, "logic.raw", b"\xcb\x02abc")
        assert headers == {}
        with pytest.raises(cbs.CellError, match="bad-request: frame version 2, this program reads version 1"):
            read_reply(payload, None)
        # Headers that only plain messages have say that it is none.
        headers = {"Content-Type": "application/octet-stream"}
        assert (await ask(served, "logic.raw", b"\xcb\x02abc", headers))[0] == b"\xcb\x02abc"


async def test_who_asks_for_no_answer_gets_none(nats_url: str) -> None:
    ran = asyncio.Event()

    @cbs.cell("logic.told")
    async def told() -> None:
        ran.set()

    async with serving(nats_url, told) as served:
        await served.bus.client.publish(f"cbs.{served.namespace}.cell.logic.told")
        await asyncio.wait_for(ran.wait(), 5)


async def test_a_fault_of_the_hosts_own_is_answered_too(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise OSError("secret")

    async with serving(nats_url, greet) as served:
        monkeypatch.setattr(served.standalone._lane, "answer", broken)
        payload, headers = await ask(served, "logic.greet", b'{"name":"Ada"}')
    assert headers["Nats-Service-Error-Code"] == "500"
    assert b"secret" not in payload
    assert "secret" in caplog.text


async def question(served: Served, subject: str) -> dict[str, Any]:
    """Ask ``$SRV`` about this namespace; others answer as well."""
    inbox = served.bus.client.new_inbox()
    answers = await served.bus.client.subscribe(inbox)
    await served.bus.client.publish(subject, reply=inbox)
    while True:
        answer: dict[str, Any] = json.loads((await answers.next_msg(timeout=5)).data)
        if answer["metadata"]["cbs.namespace"] == served.namespace:
            await answers.unsubscribe()
            return answer


async def test_discovery_speaks_the_services_protocol(nats_url: str) -> None:
    async with serving(nats_url, shop) as served:
        await served.bus.call("shop.who")
        with pytest.raises(cbs.CellError):
            await served.bus.call("shop.fails", "x")
        name, body = f"{served.namespace}-shop", served.own.body
        about = {"name": name, "id": f"{body}-shop", "version": "0.1.0"}
        about["metadata"] = {"cbs.namespace": served.namespace, "cbs.body": body}  # type: ignore[assignment]
        ping = await question(served, "$SRV.PING")
        assert ping == about | {"type": "io.nats.micro.v1.ping_response"}
        assert await question(served, f"$SRV.PING.{name}") == ping
        assert await question(served, f"$SRV.PING.{name}.{body}-shop") == ping
        info = await question(served, f"$SRV.INFO.{name}")
        assert info["type"] == "io.nats.micro.v1.info_response"
        who = next(endpoint for endpoint in info["endpoints"] if endpoint["name"] == "who")
        assert who["subject"] == f"cbs.{served.namespace}.cell.shop.who"
        assert who["queue_group"] == "cell"
        assert who["metadata"]["cbs.cell"] == "cell shop.who"
        assert who["metadata"]["cbs.language"].startswith("python 3.")
        stats = await question(served, f"$SRV.STATS.{name}")
        numbers = {endpoint["name"]: endpoint for endpoint in stats["endpoints"]}
        assert (numbers["who"]["num_requests"], numbers["who"]["num_errors"]) == (1, 0)
        assert (numbers["fails"]["num_requests"], numbers["fails"]["num_errors"]) == (1, 1)
        assert numbers["fails"]["last_error"].startswith("cell-failed: ")
        assert numbers["who"]["processing_time"] == numbers["who"]["average_processing_time"] > 0
        assert stats["started"].endswith("Z")


async def test_one_bodys_cells_and_its_sign_of_life(nats_url: str) -> None:
    async with serving(nats_url, greet) as served:
        prefix = f"cbs.{served.namespace}.body.{served.own.body}"
        reply = await served.bus.client.request(f"{prefix}.cell.logic.greet", b'{"name":"Ada"}')
        assert reply.data == b'{"text":"Hello, Ada!"}'
        reply = await served.bus.client.request(f"{prefix}.cell.no.one", b"")
        assert (reply.headers or {})["Nats-Service-Error-Code"] == "404"
        assert b"does not serve cell no.one" in reply.data
        reply = await served.bus.client.request(f"{prefix}.ctl", b"ping")
        assert json.loads(reply.data) == {"body": served.own.body}


async def test_a_flood_is_answered_to_the_last_call(nats_url: str) -> None:
    @cbs.cell("logic.waits")
    async def waits(number: int) -> int:
        await asyncio.sleep(0.05)  # sleep: work that takes a while
        return number

    async with serving(nats_url, waits, limits=Limits(concurrency=2_000, queue=10_000, timeout=100)) as served:
        calls = (served.bus.call("logic.waits", number, timeout=100) for number in range(5_000))
        assert await asyncio.gather(*calls) == list(range(5_000))


async def test_config_reaches_its_cell(nats_url: str) -> None:
    async with serving(nats_url, shop, config={"shop.who": {"greeting": "hi"}}) as served:
        assert (await served.bus.call("shop.who"))["config"] == {"greeting": "hi"}


def test_a_message_is_a_frame_only_if_nothing_says_otherwise() -> None:
    assert is_framed(b"\xcb\x01", None)
    assert is_framed(b"\xcb\x01", {"X-Other": "1"})
    assert not is_framed(b"\xcb\x01", {"content-type": "x"})
    assert not is_framed(b"\xcb\x01", {"CE-Id": "x"})
    assert not is_framed(b"{}", None)
    assert not is_framed(b"", None)


def test_only_requests_are_requests() -> None:
    with pytest.raises(cbs.CellError, match="bad-request: the frame is no request"):
        read_request(bytes.fromhex("cb01026801"), None)


@pytest.mark.parametrize(
    ("status", "payload", "code"),
    [
        ("404", b"not json", "not-found"),
        ("418", b"", "service.418"),
        ("500", b'{"code":"x.y","message":"z"}', "x.y"),
        ("500", b'{"code":1}', "cell-failed"),
    ],
)
def test_errors_of_services_that_are_no_cells(status: str, payload: bytes, code: str) -> None:
    with pytest.raises(cbs.CellError) as raised:
        read_reply(payload, {"Nats-Service-Error-Code": status, "Nats-Service-Error": "their line"})
    assert raised.value.code == code
