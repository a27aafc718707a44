"""A conversation of two people with matrix-nio: nio_conversation.py BASE_URL."""

import asyncio
import io
import secrets
import sys

from nio import (
    AsyncClient,
    Event,
    InviteMemberEvent,
    JoinError,
    MemoryDownloadResponse,
    MessageDirection,
    ReactionEvent,
    RedactedEvent,
    RoomMessageText,
    RoomPreset,
    WhoamiError,
)
from nio.api import RelationshipType
from nio.responses import ErrorResponse

PASSWORD = f"secret-{secrets.token_hex(4)}"
ROUNDS = 20


def good(response):
    """The answer; the library gives refusals and what it cannot read as values."""
    assert not isinstance(response, ErrorResponse), response
    return response


async def seen(client: AsyncClient, room_id: str, wanted) -> Event:
    """Syncs until the room's timeline brings an event for which `wanted` holds."""
    for _ in range(ROUNDS):
        answer = good(await client.sync(timeout=2000))
        room = answer.rooms.join.get(room_id)
        for event in room.timeline.events if room else []:
            if wanted(event):
                return event
    raise AssertionError("the event does not arrive")


async def conversation(alice: AsyncClient, bob: AsyncClient, tablet: AsyncClient) -> None:
    name = secrets.token_hex(4)
    good(await alice.register(f"alice-{name}", PASSWORD, "quay"))
    good(await bob.register(f"bob-{name}", PASSWORD))
    tablet.user = alice.user_id
    good(await tablet.login(PASSWORD, "tablet"))
    assert good(await tablet.whoami()).user_id == alice.user_id
    assert {device.id for device in good(await alice.devices()).devices} == {alice.device_id, tablet.device_id}
    print("registered, logged in")

    good(await alice.set_displayname("Alice of the Quay"))
    assert good(await bob.get_displayname(alice.user_id)).displayname == "Alice of the Quay"
    for client in (alice, bob, tablet):
        good(await client.sync())
    print("profile")

    room_id = good(await alice.room_create(name="Harbour", topic="In and out", preset=RoomPreset.private_chat)).room_id
    assert isinstance(await bob.join(room_id), JoinError), "joined without an invitation"
    good(await alice.room_invite(room_id, bob.user_id))
    invited = good(await bob.sync(timeout=2000))
    told = [event for event in invited.rooms.invite[room_id].invite_state if isinstance(event, InviteMemberEvent)]
    assert any(event.membership == "invite" and event.state_key == bob.user_id for event in told), told
    good(await bob.join(room_id))
    good(await bob.sync(timeout=2000))
    assert bob.rooms[room_id].name == "Harbour"
    assert {member.user_id for member in good(await alice.joined_members(room_id)).members} == {alice.user_id, bob.user_id}
    print("room, invitation, join")

    async def send(client: AsyncClient, kind: str, content: dict) -> str:
        return good(await client.room_send(room_id, kind, content)).event_id

    text = await send(alice, "m.room.message", {"msgtype": "m.text", "body": "Tomorow at nine"})
    for client in (bob, tablet):
        event = await seen(client, room_id, lambda event: event.event_id == text)
        assert isinstance(event, RoomMessageText) and event.body == "Tomorow at nine", event
    edit = await send(
        alice,
        "m.room.message",
        {
            "msgtype": "m.text",
            "body": "* Tomorrow at nine",
            "m.new_content": {"msgtype": "m.text", "body": "Tomorrow at nine"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": text},
        },
    )
    await seen(bob, room_id, lambda event: event.event_id == edit)
    reaction = await send(
        bob, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": text, "key": "⚓"}}
    )
    event = await seen(alice, room_id, lambda event: event.event_id == reaction)
    assert isinstance(event, ReactionEvent) and (event.reacts_to, event.key) == (text, "⚓"), event
    related = [event.event_id async for event in alice.room_get_event_relations(room_id, text, RelationshipType.annotation)]
    assert related == [reaction], related
    secret = await send(alice, "m.room.message", {"msgtype": "m.text", "body": "A secret"})
    redaction = good(await alice.room_redact(room_id, secret, "not for all")).event_id
    await seen(bob, room_id, lambda event: event.event_id == redaction)
    event = good(await bob.room_get_event(room_id, secret)).event
    assert isinstance(event, RedactedEvent) and "body" not in event.source["content"], event
    print("message, edit, reaction, redaction")

    good(await bob.update_receipt_marker(room_id, text))
    good(await bob.room_typing(room_id, True, 20_000))
    for _ in range(ROUNDS):
        good(await alice.sync(timeout=2000))
        room = alice.rooms[room_id]
        # The library sends its receipts for the main timeline.
        receipt = room.threaded_read_receipts.get(bob.user_id, {}).get("main")
        if bob.user_id in room.typing_users and receipt is not None:
            break
    else:
        raise AssertionError(f"typing {room.typing_users}, receipt {receipt}")
    assert receipt.event_id == text, receipt
    print("receipt, typing")

    data = secrets.token_bytes(20_000)
    upload, _ = await alice.upload(io.BytesIO(data), "application/octet-stream", "chart.bin", filesize=len(data))
    download = await bob.download(good(upload).content_uri)
    assert isinstance(download, MemoryDownloadResponse) and download.body == data, download
    assert download.filename == "chart.bin", download.filename
    print("upload, download")

    page = good(await bob.room_messages(room_id, direction=MessageDirection.front, limit=100))
    assert page.chunk[0].source["type"] == "m.room.create", page.chunk[0]
    assert [event.event_id for event in page.chunk].index(text) < [event.event_id for event in page.chunk].index(redaction)
    print("history")

    good(await bob.room_leave(room_id))
    gone = good(await bob.sync(timeout=2000))
    assert room_id in gone.rooms.leave and room_id not in good(await bob.joined_rooms()).rooms
    good(await bob.room_forget(room_id))
    token = tablet.access_token
    good(await tablet.logout())
    tablet.access_token = token
    assert isinstance(await tablet.whoami(), WhoamiError), "a logged out device may still ask"
    print("leave, forget, logout")


async def main(base_url: str) -> None:
    clients = [AsyncClient(base_url) for _ in range(3)]
    try:
        await conversation(*clients)
    finally:
        for client in clients:
            await client.close()


asyncio.run(main(sys.argv[1]))
