"""A conversation of two people with mautrix-python: mautrix_conversation.py BASE_URL."""

import asyncio
import secrets
import sys

from mautrix.api import Method, Path
from mautrix.client import Client, InternalEventType
from mautrix.client.state_store import MemoryStateStore
from mautrix.errors import MForbidden, MNotFound, MUnknownToken
from mautrix.types import (
    EventType,
    Membership,
    MessageType,
    PaginationDirection,
    PresenceState,
    ReceiptType,
    RelationType,
    RoomCreatePreset,
    TextMessageEventContent,
)

PASSWORD = f"secret-{secrets.token_hex(4)}"
PATIENCE = 20


class Person:
    """One device, whose sync loop runs beside what it does; keeps the events that the loop brings."""

    def __init__(self, base_url: str) -> None:
        self.client = Client(base_url=base_url, state_store=MemoryStateStore())
        self.events = []
        self._arrived = asyncio.Condition()

    async def register(self, name: str) -> None:
        # The library has no call of its own for this.
        body = {"username": name, "password": PASSWORD, "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
        answer = await self.client.api.request(Method.POST, Path.v3.register, body)
        await self.login(answer["user_id"])

    async def login(self, user_id: str) -> None:
        await self.client.login(user_id, password=PASSWORD, device_name="quay")

    async def start(self) -> None:
        async def keep(event) -> None:
            async with self._arrived:
                self.events.append(event)
                self._arrived.notify_all()

        ready = asyncio.Event()

        async def synced(data) -> None:
            ready.set()

        self.client.add_event_handler(EventType.ALL, keep, wait_sync=True)
        self.client.add_event_handler(InternalEventType.SYNC_SUCCESSFUL, synced)
        self.client.start(None)
        await asyncio.wait_for(ready.wait(), PATIENCE)

    async def seen(self, wanted):
        """Waits for an event for which `wanted` holds."""

        def found():
            return next((event for event in self.events if wanted(event)), None)

        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: found() is not None), PATIENCE)
        return found()

    async def stop(self) -> None:
        self.client.stop()
        await self.client.api.session.close()


async def refused(error, request) -> None:
    try:
        await request
    except error:
        return
    raise AssertionError(f"not refused with {error.__name__}")


async def conversation(one: Person, two: Person, other_device: Person) -> None:
    name = secrets.token_hex(4)
    await one.register(f"alice-{name}")
    await two.register(f"bob-{name}")
    alice, bob, tablet = one.client, two.client, other_device.client
    await other_device.login(alice.mxid)
    assert (await tablet.whoami()).user_id == alice.mxid and tablet.device_id != alice.device_id
    for person in (one, two, other_device):
        await person.start()
    print("registered, logged in, syncing")

    await alice.set_displayname("Alice of the Quay")
    picture = await alice.upload_media(b"a picture", "image/png", "alice.png")
    await alice.set_avatar_url(picture)
    profile = await bob.get_profile(alice.mxid)
    assert (profile.displayname, profile.avatar_url) == ("Alice of the Quay", picture), profile
    print("profile")

    room_id = await alice.create_room(name="Harbour", topic="In and out", preset=RoomCreatePreset.PRIVATE)
    await refused(MForbidden, bob.join_room_by_id(room_id))
    await alice.invite_user(room_id, bob.mxid)
    await two.seen(
        lambda event: event.type == EventType.ROOM_MEMBER
        and (event.room_id, event.content.membership) == (room_id, Membership.INVITE)
    )
    await bob.join_room_by_id(room_id)
    assert set(await alice.get_joined_members(room_id)) == {alice.mxid, bob.mxid}
    assert (await bob.get_state_event(room_id, EventType.ROOM_NAME)).name == "Harbour"
    await refused(MNotFound, bob.get_state_event(room_id, EventType.ROOM_AVATAR))
    print("room, invitation, join, state")

    text = await alice.send_text(room_id, "Tomorow at nine")
    for person in (two, other_device):
        event = await person.seen(lambda event: getattr(event, "event_id", None) == text)
        assert event.content.body == "Tomorow at nine", event
    correction = TextMessageEventContent(msgtype=MessageType.TEXT, body="Tomorrow at nine")
    correction.set_edit(text)
    edit = await alice.send_message(room_id, correction)
    event = await two.seen(lambda event: getattr(event, "event_id", None) == edit)
    assert event.content.get_edit() == text and event.content.relates_to.rel_type == RelationType.REPLACE, event
    reaction = await bob.react(room_id, text, "⚓")
    event = await one.seen(lambda event: getattr(event, "event_id", None) == reaction)
    assert (event.content.relates_to.event_id, event.content.relates_to.key) == (text, "⚓"), event
    secret = await alice.send_text(room_id, "A secret")
    redaction = await alice.redact(room_id, secret, "not for all")
    event = await two.seen(lambda event: getattr(event, "event_id", None) == redaction)
    assert event.type == EventType.ROOM_REDACTION and event.redacts == secret, event
    assert (await bob.get_event(room_id, secret)).content.serialize() == {}
    print("message, edit, reaction, redaction")

    await bob.send_receipt(room_id, text)
    await one.seen(
        lambda event: event.type == EventType.RECEIPT and bob.mxid in event.content.get(text, {}).get(ReceiptType.READ, {})
    )
    await bob.set_typing(room_id, 20_000)
    await one.seen(lambda event: event.type == EventType.TYPING and bob.mxid in event.content.user_ids)
    await bob.set_presence(PresenceState.UNAVAILABLE, status="at lunch")
    assert (await alice.get_presence(bob.mxid)).status_msg == "at lunch"
    print("receipt, typing, presence")

    data = secrets.token_bytes(20_000)
    assert await bob.download_media(await alice.upload_media(data, filename="chart.bin")) == data
    print("upload, download")

    page = await bob.get_messages(room_id, PaginationDirection.FORWARD, limit=100)
    ids = [event.event_id for event in page.events]
    assert page.events[0].type == EventType.ROOM_CREATE and ids.index(text) < ids.index(redaction)
    await bob.set_account_data("org.example.berth", {"number": 7})
    assert await bob.get_account_data("org.example.berth") == {"number": 7}
    await bob.set_room_tag(room_id, "m.favourite")
    assert "m.favourite" in (await bob.get_room_tags(room_id)).tags
    print("history, account data, tags")

    await bob.leave_room(room_id)
    await one.seen(
        lambda event: event.type == EventType.ROOM_MEMBER
        and (event.state_key, event.content.membership) == (bob.mxid, Membership.LEAVE)
    )
    assert room_id not in await bob.get_joined_rooms()
    await refused(MForbidden, bob.send_text(room_id, "Still here?"))
    await bob.forget_room(room_id)
    tablet.stop()
    await tablet.logout(clear_access_token=False)
    await refused(MUnknownToken, tablet.whoami())
    print("leave, forget, logout")


async def main(base_url: str) -> None:
    people = [Person(base_url) for _ in range(3)]
    try:
        await conversation(*people)
    finally:
        for person in people:
            await person.stop()


asyncio.run(main(sys.argv[1]))
