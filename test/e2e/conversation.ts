// The main job, as people do it: two of them talk, with three devices, through whatever deployment is given.
import { expect } from "chai";
import {
  EventStatus,
  EventType,
  KnownMembership,
  MatrixError,
  MsgType,
  NotificationCountType,
  Preset,
  PushRuleActionName,
  PushRuleKind,
  RelationType,
  RoomType,
  TweakName,
  Visibility,
  type IPushRule,
  type MatrixClient,
  type MatrixEvent,
} from "matrix-js-sdk";
import { randomBytes } from "node:crypto";
import { eventually } from "../support/eventually.js";
import { objectAt, stringAt } from "../support/json-path.js";
import { matrixRequest } from "../support/matrix-request.js";
import { SyncChain } from "../support/sync-chain.js";
import {
  login,
  openApplication,
  register,
  roomOf,
  sendUntilSent,
  wholeTimeline,
  type Account,
  type Session,
} from "./application.js";
import { skipAfterFailure } from "./steps.js";

/** What the conversation runs on. */
export interface Deployment extends AsyncDisposable {
  /** Base URLs of the first and of the second person's server name; the same one twice when there is one name. */
  readonly urls: readonly [string, string];
  /** A fault that clients should not notice, brought about in the middle of the thousand messages. */
  readonly disturb?: () => Promise<void>;
  /** Kills every process without warning and starts them again. */
  readonly crash?: () => Promise<void>;
}

export interface ConversationOptions {
  /** How many messages are sent in both directions together; a multiple of four. */
  readonly messages?: number;
  /** How many are under way while the server is killed. */
  readonly messagesInCrash?: number;
}

/** A chain of raw syncs that runs beside the application, so that each token of the way is accounted for. */
class Witness {
  readonly chain: SyncChain;
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>;

  constructor(baseUrl: string, session: Session) {
    this.chain = new SyncChain(matrixRequest(baseUrl, session.accessToken));
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stopped.signal.aborted) {
      try {
        await this.chain.step(200);
        failures = 0;
      } catch (error) {
        // The server may be away for a while: the same step again, until it is really gone.
        if (++failures === 200 || this.#stopped.signal.aborted) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Ends the loop, reads what is left, and gives the chain's faults. */
  async faults(): Promise<string[]> {
    await this.stop();
    await this.chain.catchUp();
    return this.chain.check();
  }
}

function textOf(text: string): { msgtype: MsgType.Text; body: string } {
  return { msgtype: MsgType.Text, body: text };
}

/** Declares the conversation's tests; each builds on the one before it. */
export function describeConversation(title: string, deploy: () => Promise<Deployment>, options: ConversationOptions = {}): void {
  const { messages = 1_000, messagesInCrash = 200 } = options;

  describe(title, function () {
    this.timeout(600_000);

    const suffix = randomBytes(4).toString("hex");
    const password = `secret-${suffix}`;
    let deployment: Deployment;
    let aliceAccount: Account;
    let bobAccount: Account;
    let alice: MatrixClient;
    let aliceTablet: MatrixClient;
    let bob: MatrixClient;
    let roomId: string;
    const witnesses: Witness[] = [];
    const applications: MatrixClient[] = [];
    /** The texts of the room by event id, as the senders were told. */
    const sent = new Map<string, string>();

    const open = async (baseUrl: string, session: Session): Promise<MatrixClient> => {
      const client = await openApplication(baseUrl, session);
      applications.push(client);
      return client;
    };

    /** Every text that was acknowledged is there once, under its event id, and no other text is. */
    const expectAllTexts = async (client: MatrixClient): Promise<void> => {
      const shown = (await wholeTimeline(client, roomId)).filter((event) => sent.has(event.getId() ?? ""));
      const ids = shown.map((event) => event.getId());
      expect(new Set(ids).size, "texts shown twice").to.equal(ids.length);
      const missing = [...sent.keys()].filter((eventId) => !ids.includes(eventId));
      expect(missing, `texts that ${client.getUserId()} misses`).to.deep.equal([]);
      for (const event of shown) expect(event.getOriginalContent()["body"]).to.equal(sent.get(event.getId() ?? ""));
    };

    const talk = async (client: MatrixClient, name: string, count: number): Promise<void> => {
      for (let number = 0; number < count; number++) {
        const text = `${name} ${number}`;
        sent.set(await sendUntilSent(client, roomId, text), text);
      }
    };

    before(async () => {
      deployment = await deploy();
    });

    skipAfterFailure();

    after(async () => {
      for (const client of applications) client.stopClient();
      await Promise.allSettled(witnesses.map((witness) => witness.stop()));
      await deployment?.[Symbol.asyncDispose]();
    });

    it("two people register, one of them logs in on a second device", async () => {
      const [aliceUrl, bobUrl] = deployment.urls;
      const aliceSession = await register(aliceUrl, `alice-${suffix}`, password);
      const bobSession = await register(bobUrl, `bob-${suffix}`, password);
      aliceAccount = { userId: aliceSession.userId, password };
      bobAccount = { userId: bobSession.userId, password };
      alice = await open(aliceUrl, aliceSession);
      bob = await open(bobUrl, bobSession);
      aliceTablet = await open(aliceUrl, await login(aliceUrl, aliceAccount));
      expect(aliceTablet.getUserId()).to.equal(aliceAccount.userId);
      expect(aliceTablet.getDeviceId()).not.to.equal(alice.getDeviceId());
      const { devices } = await alice.getDevices();
      expect(devices.map((device) => device.device_id)).to.have.members([alice.getDeviceId(), aliceTablet.getDeviceId()]);
      witnesses.push(
        new Witness(aliceUrl, await login(aliceUrl, aliceAccount)),
        new Witness(bobUrl, await login(bobUrl, bobAccount)),
      );
    });

    it("one creates a room and invites, the other sees the invitation and joins", async () => {
      const created = await alice.createRoom({
        name: "Harbour",
        topic: "What comes in, what goes out",
        preset: Preset.PrivateChat,
        visibility: Visibility.Private,
        invite: [bobAccount.userId],
      });
      roomId = created.room_id;
      const invited = await eventually("the invitation", () => bob.getRoom(roomId) ?? undefined);
      expect(invited.getMyMembership()).to.equal(KnownMembership.Invite);
      expect(invited.name).to.equal("Harbour");
      await bob.joinRoom(roomId);
      for (const client of [alice, aliceTablet, bob]) {
        await eventually(`${client.getDeviceId()} sees both members`, () => client.getRoom(roomId)?.getJoinedMemberCount() === 2);
      }
    });

    it(`${messages} messages in both directions reach every device once`, async () => {
      await Promise.all([
        talk(alice, "alice", messages / 2),
        (async () => {
          await talk(bob, "bob", messages / 4);
          await deployment.disturb?.();
          await talk(bob, "bob again", messages / 4);
        })(),
      ]);
      expect(sent.size, "event ids are unique").to.equal(messages);
      const last = [...sent.keys()].at(-1) ?? "";
      for (const client of [alice, aliceTablet, bob]) {
        await eventually(`${client.getDeviceId()} shows the last message`, () => roomOf(client, roomId).findEventById(last));
        await expectAllTexts(client);
      }
      const [bobs, tablets] = await Promise.all([wholeTimeline(bob, roomId), wholeTimeline(aliceTablet, roomId)]);
      expect(bobs.map((event) => event.getId())).to.deep.equal(tablets.map((event) => event.getId()));
    });

    it("an edit, a reaction and a redaction arrive", async () => {
      const { event_id: edited } = await alice.sendTextMessage(roomId, "Tomorow at nine");
      const { event_id: redacted } = await alice.sendTextMessage(roomId, "A secret");
      await eventually("both messages", () => roomOf(bob, roomId).findEventById(redacted));
      await alice.sendEvent(roomId, EventType.RoomMessage, {
        ...textOf("* Tomorrow at nine"),
        "m.new_content": textOf("Tomorrow at nine"),
        "m.relates_to": { rel_type: RelationType.Replace, event_id: edited },
      });
      await bob.sendEvent(roomId, EventType.Reaction, {
        "m.relates_to": { rel_type: RelationType.Annotation, event_id: edited, key: "⚓" },
      });
      await alice.redactEvent(roomId, redacted);
      for (const client of [alice, aliceTablet, bob]) {
        const room = roomOf(client, roomId);
        await eventually("the edit", () => room.findEventById(edited)?.getContent()["body"] === "Tomorrow at nine");
        const reactions = await eventually("the reaction", () =>
          room.relations.getChildEventsForEvent(edited, RelationType.Annotation, EventType.Reaction)?.getSortedAnnotationsByKey() ?? undefined,
        );
        expect(reactions.map(([key, events]) => [key, events.size])).to.deep.equal([["⚓", 1]]);
        await eventually("the redaction", () => room.findEventById(redacted)?.isRedacted());
        expect(room.findEventById(redacted)?.getContent()).to.deep.equal({});
      }
    });

    it("a thread grows beside the room", async () => {
      const { event_id: root } = await alice.sendTextMessage(roomId, "Who brings the boat?");
      await eventually("the thread's root", () => roomOf(bob, roomId).findEventById(root));
      // The library fails if a sync tells it its own reply in a thread before the answer does; the room says what was sent.
      const reply = async (client: MatrixClient, text: string): Promise<string> => {
        const failure = await client.sendTextMessage(roomId, root, text).then(() => undefined, (error: unknown) => error);
        return await eventually(`the reply (${String(failure)})`, () => {
          const told = witnesses.flatMap(({ chain }) => chain.timeline(roomId));
          return stringAt(told.find((event) => stringAt(event, "content", "body") === text), "event_id");
        });
      };
      const replies = [await reply(bob, "I bring the boat"), await reply(alice, "Good, and I the oars"), await reply(bob, "At nine then")];
      for (const client of [alice, aliceTablet, bob]) {
        const room = roomOf(client, roomId);
        const thread = await eventually("the thread", () => room.getThread(root) ?? undefined);
        const shown = (): unknown[] => thread.events.map((event) => event.getId()).filter((eventId) => eventId !== root);
        await eventually(`its replies, in order, on ${client.getDeviceId()}`, () => JSON.stringify(shown()) === JSON.stringify(replies));
        // The library's own count and last reply depend on when it asked and what it had heard by then; what it is told is the server's word.
        const told = objectAt(await client.fetchRoomEvent(roomId, root), "unsigned", "m.relations", "m.thread");
        expect([told["count"], stringAt(told, "latest_event", "event_id")]).to.deep.equal([replies.length, replies.at(-1)]);
        const main = room.getLiveTimeline().getEvents();
        expect(main.filter((event) => replies.includes(event.getId() ?? ""))).to.deep.equal([]);
      }
      const unread = (client: MatrixClient): number => roomOf(client, roomId).getThreadUnreadNotificationCount(root, NotificationCountType.Total);
      await eventually("the thread is unread", () => unread(aliceTablet) > 0);
      const last = replies.at(-1) ?? "";
      await alice.sendReadReceipt(roomOf(alice, roomId).getThread(root)?.findEventById(last) ?? null);
      await eventually("the receipt in the thread", () => roomOf(bob, roomId).getThread(root)?.getEventReadUpTo(aliceAccount.userId) === last);
      await eventually("it is read on the other device", () => unread(aliceTablet) === 0);
    });

    it("a search finds what was said, to those who could read it", async () => {
      const said = "The lighthouse keeper has a kaleidoscope";
      const { event_id: wanted } = await bob.sendTextMessage(roomId, said);
      for (const client of [alice, bob]) {
        const found = await client.searchRoomEvents({ term: "kaleidoscope", filter: { rooms: [roomId] } });
        expect(found.results.map(({ context }) => context.getEvent().getId())).to.deep.equal([wanted]);
        expect(found.count).to.equal(1);
        expect(found.results[0]?.context.getEvent().getContent()["body"]).to.equal(said);
      }
      const { room_id: elsewhere } = await bob.createRoom({ preset: Preset.PrivateChat });
      await bob.sendTextMessage(elsewhere, "My own kaleidoscope");
      const { search_categories: categories } = await alice.searchMessageText({ query: "kaleidoscope" });
      expect(categories.room_events?.results?.map(({ result }) => result.event_id)).to.deep.equal([wanted]);
    });

    it("a file is uploaded, shared and read by the other", async () => {
      const image = randomBytes(20_000);
      const { content_uri: uri } = await alice.uploadContent(image, { name: "chart ⚓.bin", type: "application/octet-stream" });
      const { event_id: shared } = await alice.sendMessage(roomId, { msgtype: MsgType.File, body: "chart ⚓.bin", url: uri });
      const received = await eventually("the file's message", () => roomOf(bob, roomId).findEventById(shared));
      const download = bob.mxcUrlToHttp(stringAt(received.getContent(), "url") ?? "", undefined, undefined, undefined, false, true, true);
      const answer = await fetch(download ?? "", { headers: { authorization: `Bearer ${bob.getAccessToken()}` } });
      expect(answer.status).to.equal(200);
      expect(Buffer.from(await answer.arrayBuffer()).equals(image), "the same bytes").to.equal(true);
      expect((await fetch(download ?? "")).status, "without a token").to.equal(401);
    });

    it("a new name and picture of a person are seen by the other", async () => {
      const { content_uri: picture } = await alice.uploadContent(Buffer.from("a picture"), { type: "image/png" });
      await alice.setDisplayName("Alice of the Quay");
      await alice.setAvatarUrl(picture);
      expect(await bob.getProfileInfo(aliceAccount.userId)).to.include({ displayname: "Alice of the Quay", avatar_url: picture });
      await eventually("the name in the room", () => {
        const member = roomOf(bob, roomId).getMember(aliceAccount.userId);
        return member?.rawDisplayName === "Alice of the Quay" && member.getMxcAvatarUrl() === picture;
      });
      const { results } = await bob.searchUserDirectory({ term: "Quay" });
      expect(results.map((result) => result.user_id)).to.deep.equal([aliceAccount.userId]);
    });

    it("a push rule reaches the other device and decides what is highlighted", async () => {
      const ruleId = "harbour.oars";
      await alice.addPushRule("global", PushRuleKind.ContentSpecific, ruleId, {
        pattern: "oars",
        actions: [PushRuleActionName.Notify, { set_tweak: TweakName.Highlight }],
      });
      const onTablet = (): IPushRule | undefined => aliceTablet.pushRules?.global.content?.find((rule) => rule.rule_id === ruleId);
      const highlights = (): number => roomOf(aliceTablet, roomId).getRoomUnreadNotificationCount(NotificationCountType.Highlight);
      await eventually("the rule on the other device", () => onTablet()?.enabled);
      await bob.sendTextMessage(roomId, "Who has the oars?");
      await eventually("the highlight", () => highlights() === 1);
      await alice.setPushRuleEnabled("global", PushRuleKind.ContentSpecific, ruleId, false);
      await eventually("the rule rests", () => onTablet()?.enabled === false);
      const { event_id: last } = await bob.sendTextMessage(roomId, "The oars are here");
      await eventually("the message", () => roomOf(aliceTablet, roomId).findEventById(last));
      expect(highlights()).to.equal(1);
      await alice.deletePushRule("global", PushRuleKind.ContentSpecific, ruleId);
      await eventually("the rule is gone", () => onTablet() === undefined);
    });

    it("a space shows its rooms to who may see them", async () => {
      const { room_id: spaceId } = await alice.createRoom({
        name: "The port",
        creation_content: { type: RoomType.Space },
        preset: Preset.PublicChat,
      });
      const { room_id: openRoom } = await alice.createRoom({ name: "Quay", preset: Preset.PublicChat });
      const { room_id: closedRoom } = await alice.createRoom({ name: "Customs", preset: Preset.PrivateChat });
      const via = [aliceAccount.userId.slice(aliceAccount.userId.indexOf(":") + 1)];
      for (const child of [openRoom, closedRoom, roomId]) await alice.sendStateEvent(spaceId, EventType.SpaceChild, { via }, child);
      const seenBy = async (client: MatrixClient): Promise<(string | undefined)[]> =>
        (await client.getRoomHierarchy(spaceId)).rooms.map((room) => room.name);
      expect(await seenBy(alice)).to.have.members(["The port", "Quay", "Customs", "Harbour"]);
      expect(await seenBy(bob)).to.have.members(["The port", "Quay", "Harbour"]);
      const { rooms } = await bob.getRoomHierarchy(spaceId);
      expect(rooms[0]?.room_id).to.equal(spaceId);
      expect(rooms[0]?.children_state.map((child) => child.state_key)).to.include.members([openRoom, roomId]);
    });

    it("typing, unread counts and receipts are seen by the other", async () => {
      await bob.sendTyping(roomId, true, 20_000);
      await eventually("bob types", () => roomOf(alice, roomId).getMember(bobAccount.userId)?.typing);
      await bob.sendTyping(roomId, false, 20_000);
      await eventually("bob rests", () => roomOf(alice, roomId).getMember(bobAccount.userId)?.typing === false);

      const { event_id: last } = await bob.sendTextMessage(roomId, "Read this");
      await eventually("the message", () => roomOf(aliceTablet, roomId).findEventById(last));
      await eventually("it is unread", () => roomOf(aliceTablet, roomId).getUnreadNotificationCount(NotificationCountType.Total) > 0);
      await alice.sendReadReceipt(await eventually("alice has it", () => roomOf(alice, roomId).findEventById(last)));
      await eventually("the receipt", () => roomOf(bob, roomId).hasUserReadEvent(aliceAccount.userId, last));
      await eventually(
        "nothing of the room is unread on the other device",
        () => roomOf(aliceTablet, roomId).getRoomUnreadNotificationCount(NotificationCountType.Total) === 0,
      );
    });

    it("a device that is new pages back to the first message", async () => {
      const phone = await open(deployment.urls[1], await login(deployment.urls[1], bobAccount));
      await eventually("the room", () => phone.getRoom(roomId) ?? undefined);
      await expectAllTexts(phone);
      const [first] = await wholeTimeline(phone, roomId);
      expect(first?.getType()).to.equal(EventType.RoomCreate);
      await phone.logout(true);
    });

    it("killed in the middle of it, the server loses nothing and doubles nothing", async function () {
      const { crash } = deployment;
      if (crash === undefined) this.skip();
      const talking = Promise.all([talk(alice, "alice, killed", messagesInCrash / 2), talk(bob, "bob, killed", messagesInCrash / 2)]);
      const before = sent.size;
      await eventually("some are under way", () => sent.size > before + messagesInCrash / 10);
      await crash();
      await talking;
      const last = [...sent.keys()].at(-1) ?? "";
      for (const client of [alice, aliceTablet, bob]) {
        client.retryImmediately();
        await eventually(`${client.getDeviceId()} shows the last message`, () => roomOf(client, roomId).findEventById(last), 120_000);
        await expectAllTexts(client);
        // The library keeps the local echo of what it got by paging over a gap, as sent.
        const unsent = (): MatrixEvent[] => roomOf(client, roomId).getPendingEvents().filter(({ status }) => status !== EventStatus.SENT);
        await eventually("nothing is unsent", () => unsent().length === 0);
      }
    });

    it("after logging out the token is worth nothing, other devices go on", async () => {
      const token = alice.getAccessToken();
      await alice.logout(true);
      const ask = matrixRequest(deployment.urls[0], token ?? "");
      // Other processes hear of it from the log, which they read once a second at least.
      await eventually("every process refuses the token", async () => {
        const answers = [];
        for (let turn = 0; turn < 4; turn++) answers.push(await ask("GET", "/_matrix/client/v3/account/whoami"));
        return answers.every(({ status, body }) => status === 401 && stringAt(body, "errcode") === "M_UNKNOWN_TOKEN");
      });
      const { event_id: last } = await bob.sendTextMessage(roomId, "Still here?");
      await eventually("the tablet goes on", () => roomOf(aliceTablet, roomId).findEventById(last));
      await aliceTablet.logout(true);
      await bob.logout(true);
      await alice.whoami().then(
        () => expect.fail("a logged out client may still ask"),
        (error: unknown) => expect(error).to.be.instanceOf(MatrixError),
      );
    });

    it("no chain of syncs has missed or repeated anything", async () => {
      for (const witness of witnesses) expect(await witness.faults()).to.deep.equal([]);
      const [alices, bobs] = witnesses.map(({ chain }) => chain.timeline(roomId).map((event) => event["event_id"]));
      expect(alices, "both saw the same order").to.deep.equal(bobs);
    });
  });
}
