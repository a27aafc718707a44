-- A small deployment as a release with 34 migrations left it: two users, one room, what waits for them. Loaded into the schema of that release.
INSERT INTO users (nid, user_id) OVERRIDING SYSTEM VALUE VALUES
	(1, '@alice:localhost'),
	(2, '@bob:localhost');
INSERT INTO accounts (user_nid, password_hash, is_admin, created_ts, deactivated_ts, erased, is_guest, locked, suspended, user_type, messages_per_second, burst_count, shadow_banned) VALUES
	(1, '$argon2id$v=19$m=8,t=1,p=1$leXshMUk/sHkdAFGJ3LKuw$6u49LcIORhm6qIg0LEXjvqsWNxCzM0tEgNBHV/1DmzA', false, 1795288956673, NULL, false, false, false, false, NULL, NULL, NULL, false),
	(2, '$argon2id$v=19$m=8,t=1,p=1$nghliMFP1j2ddvYscC6bxA$3tdt1p+h8JI7pDX32jEAoLKjr4xAvSv6eo1e/CobVgg', false, 1795288956740, NULL, false, false, false, false, NULL, NULL, NULL, false);
INSERT INTO devices (user_nid, device_id, display_name, created_ts, last_seen_ts, last_seen_ip, last_seen_user_agent) VALUES
	(1, 'ALICE', NULL, 1795288956676, 1795288957736, '127.0.0.1', 'node'),
	(2, 'BOB', NULL, 1795288956741, 1795288957609, '127.0.0.1', 'node');
INSERT INTO access_tokens (nid, access_digest, refresh_digest, user_nid, device_id, expires_ts, refresh_expires_ts, replaces) OVERRIDING SYSTEM VALUE VALUES
	(1, '\xceef5abb903cedf04ab070505b4a745fcd32fb870412efc2946f6bc18d7ff41a', NULL, 1, 'ALICE', NULL, NULL, NULL),
	(2, '\x9114730582c93c836c401a9d5f4ea8fa6a5efb0fe34be564646ba685c34c649f', NULL, 2, 'BOB', NULL, NULL, NULL);
INSERT INTO account_data (user_nid, room_nid, type, content, last_position) VALUES
	(1, 0, 'org.example.kept', '{"kept":true}', 16);
INSERT INTO auth_chain_links (chain, sequence, target_chain, target_sequence) VALUES
	(2, 1, 1, 1),
	(3, 1, 1, 1),
	(3, 1, 2, 1),
	(4, 1, 1, 1),
	(4, 1, 3, 1),
	(4, 1, 2, 1),
	(5, 1, 1, 1),
	(5, 1, 3, 1),
	(5, 1, 2, 1),
	(6, 1, 1, 1),
	(6, 1, 3, 1),
	(6, 1, 2, 1),
	(7, 1, 1, 1),
	(7, 1, 3, 1),
	(7, 1, 2, 1),
	(8, 1, 1, 1),
	(8, 1, 3, 1),
	(8, 1, 5, 1),
	(9, 1, 1, 1),
	(9, 1, 3, 1),
	(9, 1, 2, 1),
	(2, 2, 3, 1),
	(2, 2, 5, 1);
INSERT INTO auth_chains (event_nid, chain, sequence) VALUES
	(1, 1, 1),
	(2, 2, 1),
	(3, 3, 1),
	(4, 4, 1),
	(5, 5, 1),
	(6, 6, 1),
	(7, 7, 1),
	(8, 8, 1),
	(18, 9, 1),
	(19, 2, 2);
INSERT INTO count_exceptions (room_nid, user_nid, thread, ordinal, notify, highlight) VALUES
	(1, 0, 0, 10, -1, 0),
	(1, 0, 0, 11, -1, 0);
INSERT INTO counted_events (room_nid, thread, ordinal, notifies, highlights, notified, highlighted) VALUES
	(1, 0, 9, true, false, 1, 0),
	(1, 0, 10, true, false, 2, 0),
	(1, 0, 11, true, false, 3, 0),
	(1, 0, 12, true, false, 4, 0),
	(1, 0, 13, true, false, 5, 0),
	(1, 9, 15, true, false, 1, 0),
	(1, 0, 20, true, false, 6, 0);
INSERT INTO counted_scopes (room_nid, thread, last_ordinal, notified, highlighted) VALUES
	(1, 9, 15, 1, 0),
	(1, 0, 20, 6, 0);
INSERT INTO current_state (room_nid, tuple_nid, event_nid, type_nid, "position", user_nid, membership) VALUES
	(1, 2, 1, 5, 1, NULL, NULL),
	(1, 5, 3, 10, 1, NULL, NULL),
	(1, 6, 4, 4, 1, NULL, NULL),
	(1, 4, 5, 7, 1, NULL, NULL),
	(1, 7, 6, 6, 1, NULL, NULL),
	(1, 1, 7, 9, 1, NULL, NULL),
	(1, 8, 8, 8, 2, 2, 1),
	(1, 9, 18, 15, 14, NULL, NULL),
	(1, 3, 19, 8, 18, 1, 1);
INSERT INTO epochs (epoch, system_identifier, timeline, restore, began_at) OVERRIDING SYSTEM VALUE VALUES
	(1, '7710707236010448104', 1, 0, 0);
INSERT INTO event_types (nid, type) OVERRIDING SYSTEM VALUE VALUES
	(1, 'm.reference'),
	(2, 'm.replace'),
	(3, 'm.thread'),
	(4, 'm.room.canonical_alias'),
	(5, 'm.room.create'),
	(6, 'm.room.history_visibility'),
	(7, 'm.room.join_rules'),
	(8, 'm.room.member'),
	(9, 'm.room.name'),
	(10, 'm.room.power_levels'),
	(11, 'm.room.message'),
	(12, 'm.annotation'),
	(13, 'm.reaction'),
	(14, 'm.room.redaction'),
	(15, 'm.room.topic');
INSERT INTO events (nid, room_nid, event_id, type_nid, tuple_nid, sender_nid, depth, origin_server_ts, "position", ordinal, flags, state_before, prev_nids, auth_nids, replaces, redacted_by, relates_to, rel_type_nid, thread_root, thread_ordinal) VALUES
	(1, 1, '$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8', 5, 2, 1, 1, 1795288956819, 1, 1, 0, NULL, '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL),
	(2, 1, '$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU', 8, 3, 1, 2, 1795288956888, 1, 2, 0, 1, '{1}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL),
	(3, 1, '$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI', 10, 5, 1, 3, 1795288956889, 1, 3, 0, 2, '{2}', '{1,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(4, 1, '$mQlG2NCyV-TsIvd4baIVOr1Wdkjjnqq15u29jcYi-Vs', 4, 6, 1, 4, 1795288956890, 1, 4, 0, 3, '{3}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(5, 1, '$zdGWm-wII7TiRuBIpZA9162r8EvBn9qh8FOQaPIbi4w', 7, 4, 1, 5, 1795288956890, 1, 5, 0, 4, '{4}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(6, 1, '$o6JcYIoJI9JyseOeLgTQfF_jStRbvUe25N-5gSRclfE', 6, 7, 1, 6, 1795288956895, 1, 6, 0, 5, '{5}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(7, 1, '$8FKjWsasM63CuPtmaYn3Q1E68-IWMmYwoeJUpl8rAnI', 9, 1, 1, 7, 1795288956896, 1, 7, 0, 6, '{6}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(8, 1, '$zUWjcZy8DUjETLninDTDsFz_Z370egD2GXnXlyoznRo', 8, 8, 2, 8, 1795288956939, 2, 8, 0, 7, '{7}', '{1,3,5}', NULL, NULL, NULL, NULL, NULL, NULL),
	(9, 1, '$MvwOQ7reT2017UdSwQy3LNIyLL8e67aOqznPGH7cjfk', 11, NULL, 1, 9, 1795288957019, 4, 9, 0, 8, '{8}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(12, 1, '$Q_wEx13LJVWAUKa_2pNqRSN0MY8dVZJEpUBFkcarwRM', 11, NULL, 2, 12, 1795288957077, 8, 12, 0, 8, '{11}', '{1,3,8}', NULL, NULL, NULL, NULL, NULL, NULL),
	(13, 1, '$zGLSxzTm-ZrFihLokAWJb-luuk266o5z9POK6boY8dA', 11, NULL, 1, 13, 1795288957152, 9, 13, 0, 8, '{12}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(14, 1, '$ILxVRHAqs1YaqiQzmUIQWBB3A3qIzXLRFtm-c14b904', 13, NULL, 2, 14, 1795288957168, 10, 14, 0, 8, '{13}', '{1,3,8}', NULL, NULL, 9, 12, NULL, NULL),
	(15, 1, '$t_sdfO3Dka06968Hb58yWC-Od2d8qzI4PSTvJ6oqCug', 11, NULL, 1, 15, 1795288957177, 11, 15, 0, 8, '{14}', '{1,3,2}', NULL, NULL, 9, 3, 9, 1),
	(16, 1, '$7Ei33ZB54H1WuGTEqiJsE5HgmchpwMNc7JhAUh9515E', 14, NULL, 1, 16, 1795288957207, 12, 16, 0, 8, '{15}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(10, 1, '$HfJ6Buv8dzMgeVCDOTIpQV6VuHr13BbXCDTyjKh97HE', 11, NULL, 2, 10, 1795288957038, 6, 10, 0, 8, '{9}', '{1,3,8}', NULL, 16, NULL, NULL, NULL, NULL),
	(17, 1, '$H7U733ssvHNhdjBaXBF5VcRvCb4ecsmg4de3hCcYzXs', 14, NULL, 1, 17, 1795288957236, 13, 17, 0, 8, '{16}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(11, 1, '$-nbhlEF-pkpKDmztx61p2wCOMWJ7ShW93lJBQASUsv0', 11, NULL, 1, 11, 1795288957056, 7, 11, 0, 8, '{10}', '{1,3,2}', NULL, 17, NULL, NULL, NULL, NULL),
	(18, 1, '$N0etmlAYN79q5LK3AEQG_9AIszmZBMgOIcCJiNcY5V8', 15, 9, 1, 18, 1795288957267, 14, 18, 0, 8, '{17}', '{1,3,2}', NULL, NULL, NULL, NULL, NULL, NULL),
	(19, 1, '$CukM2H9m3jcbSFdzauJSEG0CQBopaKtf3BRviL3ePt4', 8, 3, 1, 19, 1795288957499, 18, 19, 0, 9, '{18}', '{1,3,2,5}', 2, NULL, NULL, NULL, NULL, NULL),
	(20, 1, '$C8XbCaCAD0AdxJaIBfe4mXoc37CGUxIg-Yvxymu8w44', 11, NULL, 1, 20, 1795288957741, 22, 20, 0, 10, '{19}', '{1,3,19}', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO filters (user_nid, filter_id, filter) VALUES
	(1, 'Nmnnl2GlE-XJZxRxbX-0A5', '{"room":{"timeline":{"limit":3}}}');
INSERT INTO joined_servers (room_nid, server_name, members, since, until) VALUES
	(1, 'localhost', 2, 1, NULL);
INSERT INTO knex_migrations (id, name, batch, migration_time) VALUES
	(1, '0001_log.sql', 1, '2026-11-21 19:22:35.852+00'),
	(2, '0002_rooms.sql', 1, '2026-11-21 19:22:35.893+00'),
	(3, '0010_write_message.sql', 1, '2026-11-21 19:22:35.895+00'),
	(4, '0011_redacted_contents.sql', 1, '2026-11-21 19:22:35.898+00'),
	(5, '0100_accounts.sql', 1, '2026-11-21 19:22:35.918+00'),
	(6, '0110_account_restrictions.sql', 1, '2026-11-21 19:22:35.921+00'),
	(7, '0111_user_tokens.sql', 1, '2026-11-21 19:22:35.925+00'),
	(8, '0112_third_party_ids.sql', 1, '2026-11-21 19:22:35.934+00'),
	(9, '0200_room_directory.sql', 1, '2026-11-21 19:22:35.937+00'),
	(10, '0201_membership_upkeep.sql', 1, '2026-11-21 19:22:35.939+00'),
	(11, '0210_relations.sql', 1, '2026-11-21 19:22:35.945+00'),
	(12, '0220_room_upgrades.sql', 1, '2026-11-21 19:22:35.948+00'),
	(13, '0221_reports.sql', 1, '2026-11-21 19:22:35.951+00'),
	(14, '0222_server_notice_rooms.sql', 1, '2026-11-21 19:22:35.953+00'),
	(15, '0223_server_notice_rooms_index.sql', 1, '2026-11-21 19:22:35.954+00'),
	(16, '0230_search.sql', 1, '2026-11-21 19:22:35.96+00'),
	(17, '0231_user_directory.sql', 1, '2026-11-21 19:22:35.97+00'),
	(18, '0300_server_keys.sql', 1, '2026-11-21 19:22:35.974+00'),
	(19, '0301_inbound_federation.sql', 1, '2026-11-21 19:22:35.98+00'),
	(20, '0302_joined_servers.sql', 1, '2026-11-21 19:22:35.985+00'),
	(21, '0303_outbound_federation.sql', 1, '2026-11-21 19:22:35.995+00'),
	(22, '0304_outside_memberships.sql', 1, '2026-11-21 19:22:35.998+00'),
	(23, '0305_gaps.sql', 1, '2026-11-21 19:22:36.003+00'),
	(24, '0400_side_streams.sql', 1, '2026-11-21 19:22:36.015+00'),
	(25, '0401_unread_counts.sql', 1, '2026-11-21 19:22:36.028+00'),
	(26, '0500_media.sql', 1, '2026-11-21 19:22:36.087+00'),
	(27, '0600_pushers.sql', 1, '2026-11-21 19:22:36.121+00'),
	(28, '0700_appservices.sql', 1, '2026-11-21 19:22:36.133+00'),
	(29, '0800_administration.sql', 1, '2026-11-21 19:22:36.146+00'),
	(30, '0810_purged_history.sql', 1, '2026-11-21 19:22:36.149+00'),
	(31, '0811_shadow_bans.sql', 1, '2026-11-21 19:22:36.152+00'),
	(32, '0920_to_device.sql', 1, '2026-11-21 19:22:36.168+00'),
	(33, '0921_key_backup.sql', 1, '2026-11-21 19:22:36.175+00'),
	(34, '0922_delayed_events.sql', 1, '2026-11-21 19:22:36.183+00');
INSERT INTO knex_migrations_lock (index, is_locked) VALUES
	(1, 0);
INSERT INTO log_cursors (name, "position") VALUES
	('federation', 22),
	('search', 22);
INSERT INTO log_p0 ("position", index, kind, room_nid, user_nid, device, destination, tuple_nid, reference, previous) VALUES
	(1, 1, 1, 1, NULL, NULL, NULL, NULL, 1, NULL),
	(1, 2, 2, 1, NULL, NULL, NULL, 2, 1, NULL),
	(1, 3, 1, 1, 1, NULL, NULL, NULL, 2, NULL),
	(1, 4, 2, 1, 1, NULL, NULL, 3, 2, NULL),
	(1, 5, 1, 1, NULL, NULL, NULL, NULL, 3, NULL),
	(1, 6, 2, 1, NULL, NULL, NULL, 5, 3, NULL),
	(1, 7, 1, 1, NULL, NULL, NULL, NULL, 4, NULL),
	(1, 8, 2, 1, NULL, NULL, NULL, 6, 4, NULL),
	(1, 9, 1, 1, NULL, NULL, NULL, NULL, 5, NULL),
	(1, 10, 2, 1, NULL, NULL, NULL, 4, 5, NULL),
	(1, 11, 1, 1, NULL, NULL, NULL, NULL, 6, NULL),
	(1, 12, 2, 1, NULL, NULL, NULL, 7, 6, NULL),
	(1, 13, 1, 1, NULL, NULL, NULL, NULL, 7, NULL),
	(1, 14, 2, 1, NULL, NULL, NULL, 1, 7, NULL),
	(2, 1, 1, 1, 2, NULL, NULL, NULL, 8, NULL),
	(2, 2, 2, 1, 2, NULL, NULL, 8, 8, NULL),
	(3, 1, 5, NULL, 1, NULL, NULL, NULL, NULL, NULL),
	(4, 1, 1, 1, NULL, NULL, NULL, NULL, 9, NULL),
	(5, 1, 5, NULL, 2, NULL, NULL, NULL, NULL, NULL),
	(6, 1, 1, 1, NULL, NULL, NULL, NULL, 10, NULL),
	(7, 1, 1, 1, NULL, NULL, NULL, NULL, 11, NULL),
	(8, 1, 1, 1, NULL, NULL, NULL, NULL, 12, NULL),
	(9, 1, 1, 1, NULL, NULL, NULL, NULL, 13, NULL),
	(10, 1, 1, 1, NULL, NULL, NULL, NULL, 14, NULL),
	(11, 1, 1, 1, NULL, NULL, NULL, NULL, 15, NULL),
	(12, 1, 1, 1, NULL, NULL, NULL, NULL, 16, NULL),
	(12, 2, 13, 1, NULL, NULL, NULL, NULL, 10, NULL),
	(13, 1, 1, 1, NULL, NULL, NULL, NULL, 17, NULL),
	(13, 2, 13, 1, NULL, NULL, NULL, NULL, 11, NULL),
	(14, 1, 1, 1, NULL, NULL, NULL, NULL, 18, NULL),
	(14, 2, 2, 1, NULL, NULL, NULL, 9, 18, NULL),
	(15, 1, 4, 1, 2, NULL, NULL, NULL, NULL, NULL),
	(16, 1, 6, NULL, 1, NULL, NULL, NULL, NULL, NULL),
	(17, 1, 8, NULL, 1, NULL, NULL, NULL, NULL, NULL),
	(18, 1, 1, 1, 1, NULL, NULL, NULL, 19, NULL),
	(18, 2, 2, 1, 1, NULL, NULL, 3, 19, 2),
	(19, 1, 11, NULL, 2, 'BOB', NULL, NULL, NULL, NULL),
	(21, 1, 7, NULL, 2, NULL, NULL, NULL, NULL, NULL),
	(22, 1, 1, 1, NULL, NULL, NULL, NULL, 20, NULL);
INSERT INTO memberships (user_nid, room_nid, membership, event_nid, "position", forgotten) VALUES
	(2, 1, 1, 8, 2, false),
	(1, 1, 1, 19, 18, false);
INSERT INTO message_json_0 (nid, json) VALUES
	(9, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"body":"message 1","msgtype":"m.text"},"depth":9,"hashes":{"sha256":"YyyODo+34Nn8FtSEJcpibIx+wH0ik8qgJ9uQ+qZeRiQ"},"origin_server_ts":1795288957019,"prev_events":["$zUWjcZy8DUjETLninDTDsFz_Z370egD2GXnXlyoznRo"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"p568JAYGOL11z1FsN8zV62oatpLe+XuGzELrUHcLEr4zevyJBC+3i57Li8zTtBb5YL4IarFQHj5bywSgdDHyDw"}},"type":"m.room.message"}'),
	(10, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$zUWjcZy8DUjETLninDTDsFz_Z370egD2GXnXlyoznRo"],"content":{"body":"message 2","msgtype":"m.text"},"depth":10,"hashes":{"sha256":"Cx77ZUnfpFWMA0kqCJwDrdqhmO/K37mpOQeesbNVF/4"},"origin_server_ts":1795288957038,"prev_events":["$MvwOQ7reT2017UdSwQy3LNIyLL8e67aOqznPGH7cjfk"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@bob:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"3mmf2zUg2cLf0o+8bBFgZWfGQBWdb8DQHQYksjRZS3tOWMYj5rc8Xam8q7DWJuQe1O0Z6eiU42D5tFArqu6CCg"}},"type":"m.room.message"}'),
	(11, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"body":"message 3","msgtype":"m.text"},"depth":11,"hashes":{"sha256":"9dVTxYk/250/36L9ohrbXyWDiF0hfslZazgID8vhdgI"},"origin_server_ts":1795288957056,"prev_events":["$HfJ6Buv8dzMgeVCDOTIpQV6VuHr13BbXCDTyjKh97HE"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"MRsVmeq13pW51XacIWkRRfOclAwu+OWceDit5nDVUD5Ga/KOEKkNkSKoXVJ3qvVCwBZX8ViVzJ9hfu9K/NXfCQ"}},"type":"m.room.message"}'),
	(12, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$zUWjcZy8DUjETLninDTDsFz_Z370egD2GXnXlyoznRo"],"content":{"body":"message 4","msgtype":"m.text"},"depth":12,"hashes":{"sha256":"EL+GjuaNSudxm+EZqxyh4okbQ+WnreEThbwHcRXQb/s"},"origin_server_ts":1795288957077,"prev_events":["$-nbhlEF-pkpKDmztx61p2wCOMWJ7ShW93lJBQASUsv0"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@bob:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"R67EuRzI+l/L27HYw0rzx6IIpwrsafdsvfnHH9BYzwTRPFQg1OWMPV9VhgpeuZO1LZi0azfhDs7vbveJ17vIAg"}},"type":"m.room.message"}'),
	(13, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"body":"message 5","msgtype":"m.text"},"depth":13,"hashes":{"sha256":"TbO/5PzdH/6UvRkiG7iwY07LI9mdR4EPwD9eL0UkDhg"},"origin_server_ts":1795288957152,"prev_events":["$Q_wEx13LJVWAUKa_2pNqRSN0MY8dVZJEpUBFkcarwRM"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"rPKG7TpgKhFESM6o6sjaVfTJyqsSM+o8wIsxB5Rb7oHI6qerhmVP3Wm8o08Ii0U1FWhOPl8pzUe5sKcAiUbfDA"}},"type":"m.room.message"}'),
	(14, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$zUWjcZy8DUjETLninDTDsFz_Z370egD2GXnXlyoznRo"],"content":{"m.relates_to":{"event_id":"$MvwOQ7reT2017UdSwQy3LNIyLL8e67aOqznPGH7cjfk","key":"+1","rel_type":"m.annotation"}},"depth":14,"hashes":{"sha256":"K4cnvlUX+4W0z92ZEWAb+a8UlFF+pjsAmvWu6tmH5ME"},"origin_server_ts":1795288957168,"prev_events":["$zGLSxzTm-ZrFihLokAWJb-luuk266o5z9POK6boY8dA"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@bob:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"ZuMYe6FmzGnGhp9Cw6YkJXIBww6YxXmygC1AosGEo2zNoIGqoCV95qcFLuygYaGsZimDZatNyXWCAXq+BzJLBA"}},"type":"m.reaction"}'),
	(15, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"body":"in a thread","m.relates_to":{"event_id":"$MvwOQ7reT2017UdSwQy3LNIyLL8e67aOqznPGH7cjfk","rel_type":"m.thread"},"msgtype":"m.text"},"depth":15,"hashes":{"sha256":"j0zaDmQYPVBQNi32E2aoCPX8ylzLDm137PxSOHvs7TQ"},"origin_server_ts":1795288957177,"prev_events":["$ILxVRHAqs1YaqiQzmUIQWBB3A3qIzXLRFtm-c14b904"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"HVqwSoI8DZGvtM2Yi7Uej6s4fxgpeqNORGzUXlt6DesUOpI5oBzID/S7o7DmJRylBFxF4b30oM47t4CRdTAlCg"}},"type":"m.room.message"}'),
	(16, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"reason":"test","redacts":"$HfJ6Buv8dzMgeVCDOTIpQV6VuHr13BbXCDTyjKh97HE"},"depth":16,"hashes":{"sha256":"L1b6QVk2wmUrt9mfGIOZjDBh3Q1oICBj23U0eCiX/ig"},"origin_server_ts":1795288957207,"prev_events":["$t_sdfO3Dka06968Hb58yWC-Od2d8qzI4PSTvJ6oqCug"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"Ns4PPhNOFsYfhKzBSxTwx8sCkbKvy2qBV6dxhkHGc+HlkXg4A1WnkD69YT3YuyFp5sEdGR47hXtcc0kio/cjBw"}},"type":"m.room.redaction"}'),
	(17, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"redacts":"$-nbhlEF-pkpKDmztx61p2wCOMWJ7ShW93lJBQASUsv0"},"depth":17,"hashes":{"sha256":"7Hp8VQJUusoMQrJvN9U94Um4iIr9CZ3eRSs2fwLQtfY"},"origin_server_ts":1795288957236,"prev_events":["$7Ei33ZB54H1WuGTEqiJsE5HgmchpwMNc7JhAUh9515E"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"5Bkh6ujY6AcTSTowXnKS7T3RaOX5/lp6MkdkKUg2kw4QpSLbBTbFaY0X5ewqJJdOtnqlOVIen4YExFrIy2LbAw"}},"type":"m.room.redaction"}'),
	(20, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$CukM2H9m3jcbSFdzauJSEG0CQBopaKtf3BRviL3ePt4"],"content":{"body":"after bob''s sync","msgtype":"m.text"},"depth":20,"hashes":{"sha256":"abMKnQ7+td1ao9BbIEkja6GdDD/KCa79CRUB2fnX8AM"},"origin_server_ts":1795288957741,"prev_events":["$CukM2H9m3jcbSFdzauJSEG0CQBopaKtf3BRviL3ePt4"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"7wRqhSwsOARV3uhjReDZX6mlC0JKXqLv0kUSd+1S/KOVjT3p+OKjKEN8aHXyPcs84TgOzAS4caAbu2e1DYjOBQ"}},"type":"m.room.message"}');
INSERT INTO open_rooms (room_nid) VALUES
	(1);
INSERT INTO presence (user_nid, state, status_msg, last_active_ts, currently_active, last_position) VALUES
	(1, 1, NULL, 1795288956972, true, 3),
	(2, 1, NULL, 1795288957030, true, 5);
INSERT INTO profile_fields (user_nid, name, value, folded) VALUES
	(1, 'displayname', '"Alice"', 'alice');
INSERT INTO published_rooms (server_name, room_nid) VALUES
	('localhost', 1);
INSERT INTO push_rules (user_nid, rules, last_position) VALUES
	(2, '{"own":{"room":[{"rule_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","default":false,"enabled":true,"actions":["notify"]}]},"changes":{}}', 21);
INSERT INTO receipts (room_nid, user_nid, thread, kind, event_nid, ordinal, ts, last_position) VALUES
	(1, 1, -1, 3, 2, 2, 1795288956888, 0),
	(1, 2, -1, 3, 8, 8, 1795288956939, 0),
	(1, 2, 0, 3, 14, 14, 1795288957168, 0),
	(1, 1, 9, 3, 15, 15, 1795288957177, 0),
	(1, 2, -1, 1, 13, 13, 1795288957311, 15),
	(1, 1, 0, 3, 20, 20, 1795288957741, 0);
INSERT INTO redacted_contents (event_nid, redacted) VALUES
	(10, '2026-11-21 19:22:37.21192+00'),
	(11, '2026-11-21 19:22:37.237329+00');
INSERT INTO room_aliases (alias, room_nid, creator_nid) VALUES
	('#old:localhost', 1, 1);
INSERT INTO rooms (nid, room_id, version, revision, owner, extremities, ordinal, snapshot, dropped_ends) VALUES
	(1, '!-ZRmwp0Haw3GCMVo-fECpTEC:localhost', '11', 14, 1, '{20}', 20, 10, '{}');
INSERT INTO schema_compat (only_row, needs) VALUES
	(true, 1);
INSERT INTO search_index (nid, text_nid, room_nid, sender_nid, "position", sent_ts, key, document) VALUES
	(7, 7, 1, 1, 1, 1795288956896, 2, '''old'':1A ''room'':2A'),
	(12, 12, 1, 2, 8, 1795288957077, 1, '''4'':2A ''messag'' ''message'':1A'),
	(9, 9, 1, 1, 4, 1795288957019, 1, '''1'':2A ''messag'' ''message'':1A'),
	(13, 13, 1, 1, 9, 1795288957152, 1, '''5'':2A ''messag'' ''message'':1A'),
	(15, 15, 1, 1, 11, 1795288957177, 1, '''a'':2A ''in'':1A ''thre'' ''thread'':3A'),
	(18, 18, 1, 1, 14, 1795288957267, 3, '''befor'' ''before'':1A ''the'':2A ''upgrad'' ''upgrade'':3A'),
	(20, 20, 1, 1, 22, 1795288957741, 1, '''after'':1A ''bob'':2A ''s'':3A ''sync'':4A');
INSERT INTO signing_keys (server_name, key_id, sealed, created_ts, expired_ts) VALUES
	('localhost', 'ed25519:9398a5ff', '\x6f7f3f289d5d85aa8c73cb814308a907763c11b20b9d29889fd3a3ae6d4bd3d88596a0a2f593ecbc90b88eeee343b316bc5f6875815b92d28ad49612a3efb183b25062e4f4886fd3', 1795288956197, NULL);
INSERT INTO state_event_json (nid, json) VALUES
	(1, '{"auth_events":[],"content":{"room_version":"11"},"depth":1,"hashes":{"sha256":"QHHuqpua5EnVGiTQpaw6OkYphPj/+N2LFWIepgnqIs8"},"origin_server_ts":1795288956819,"prev_events":[],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"owMA56piVpK4ghqhb3/gQqsYtGR7MV6LwKZ/KB8to7nR2FIpz4p1tWtuE0dbUa9FYz/5b8vu3el+X/e2pwAkCA"}},"state_key":"","type":"m.room.create"}'),
	(2, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8"],"content":{"membership":"join"},"depth":2,"hashes":{"sha256":"RrCN8jqT0ZqdS82FOosLXsVdWZVUsQVW40Tz5R02SS4"},"origin_server_ts":1795288956888,"prev_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"lc986HRswvWaz00p82aEDeT12cF8xFU5U6sfnVY8bLmdkGv3z03SQL7ShIy5zrd2z/gXVzF8KZD+HqFld3zlAQ"}},"state_key":"@alice:localhost","type":"m.room.member"}'),
	(3, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"ban":50,"events":{"m.room.avatar":50,"m.room.canonical_alias":50,"m.room.encryption":100,"m.room.history_visibility":100,"m.room.name":50,"m.room.power_levels":100,"m.room.server_acl":100,"m.room.tombstone":100},"events_default":0,"historical":100,"invite":0,"kick":50,"redact":50,"state_default":50,"users":{"@alice:localhost":100},"users_default":0},"depth":3,"hashes":{"sha256":"piyrJDAJWx5wMy37+Bp5axZiW/rszcDhiaqtK0toj7k"},"origin_server_ts":1795288956889,"prev_events":["$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"gcFRvRDY2a524JMPbG/pCM+CGxlpqwITtgWfGtbMNuMgZPcU7mUI8idl++jVwG5aUTG/kxEL30ARoDdRwTU1BQ"}},"state_key":"","type":"m.room.power_levels"}'),
	(4, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"alias":"#old:localhost"},"depth":4,"hashes":{"sha256":"dPWIX31Aq0R7Tj53G+rWb7VFNfj26E/x4JDXI06vFlQ"},"origin_server_ts":1795288956890,"prev_events":["$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"eG2/4wC7dzhoKtNlIt4veim+yHLoFua722tRI0+u/kFQIGANAFjRJnOkLBW98a+GCXYyeuVlHYq0lYB+NrkbDA"}},"state_key":"","type":"m.room.canonical_alias"}'),
	(5, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"join_rule":"public"},"depth":5,"hashes":{"sha256":"e91sPbvucwy8Bct4PSeOX8JFuJ5VAttaoGmyFYmzFDY"},"origin_server_ts":1795288956890,"prev_events":["$mQlG2NCyV-TsIvd4baIVOr1Wdkjjnqq15u29jcYi-Vs"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"Hsyi5CsgyuckrkKU5+jOUQGbt0LIqkxRqE1ArCAzl4GzbUxqPFB5ZBVRNiYRVzKxw2KJqOb/hH4y7vGkmWICDg"}},"state_key":"","type":"m.room.join_rules"}'),
	(6, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"history_visibility":"shared"},"depth":6,"hashes":{"sha256":"ChDJx/TmtjOevf2v3kdMmcEv2HlmuEhO241COJRLUvs"},"origin_server_ts":1795288956895,"prev_events":["$zdGWm-wII7TiRuBIpZA9162r8EvBn9qh8FOQaPIbi4w"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"ukvDrH+EHeUisMoMuomalFJ+3+riKybO0/yczqtAaOQP470G04QJio4GYajY4vkaDrTN7Aqz4MbGaLWhdUWEBg"}},"state_key":"","type":"m.room.history_visibility"}'),
	(7, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"name":"Old room"},"depth":7,"hashes":{"sha256":"xElkG8VBUbOA547PmTyYhczIhKYTiNrk8BkuauyVGRU"},"origin_server_ts":1795288956896,"prev_events":["$o6JcYIoJI9JyseOeLgTQfF_jStRbvUe25N-5gSRclfE"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"X8nIKB6hGg+gs3zDBAXvXkoKKglYQPer6/FHkTSQZbbtO+SikX9lBBHReM+UcfGymaXtilSaJlv4+z0qaQdyDA"}},"state_key":"","type":"m.room.name"}'),
	(8, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$zdGWm-wII7TiRuBIpZA9162r8EvBn9qh8FOQaPIbi4w"],"content":{"membership":"join"},"depth":8,"hashes":{"sha256":"gFrwtr30ZsuABJFCcKlPKooCy8UPXxIuNk8xsr0siwM"},"origin_server_ts":1795288956939,"prev_events":["$8FKjWsasM63CuPtmaYn3Q1E68-IWMmYwoeJUpl8rAnI"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@bob:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"yOqvfRFSR27AS8Ne8oxbpaY8jZv7yvn/NSjOgvuRDjknhhF90uJU+L9OK/sT+ZLVXRQP7Ixw8DdibbdIZsraAQ"}},"state_key":"@bob:localhost","type":"m.room.member"}'),
	(18, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU"],"content":{"topic":"before the upgrade"},"depth":18,"hashes":{"sha256":"9M5TNQSxsG6vn1bAq57r7mnsN9nsPXhL+drwHEkZXsM"},"origin_server_ts":1795288957267,"prev_events":["$H7U733ssvHNhdjBaXBF5VcRvCb4ecsmg4de3hCcYzXs"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"OfKTwO9NgsFTBpgSNBHClX7GQi+CVSIIvyeEuMu8xoyD4B4P2l1RPlL6Dt9Ac+qKVFQF5Z547yNdHTNs0DGeDA"}},"state_key":"","type":"m.room.topic"}'),
	(19, '{"auth_events":["$DM8dBZBA0k6I2hXO4NjV7itvpWBVx41zQum0qJcpPD8","$FnODfKyiKeBtbDUTO0XMgv116vNa9FBK1APfGTPcIAI","$2yA2rmlSMzEFq3ewd9l6Qxo7t4ewTnEFp456vl3YSfU","$zdGWm-wII7TiRuBIpZA9162r8EvBn9qh8FOQaPIbi4w"],"content":{"displayname":"Alice","membership":"join"},"depth":19,"hashes":{"sha256":"w4MD5n+jXT486mufP+OdJ4rFT95i4vdOQciRTdk9s1Y"},"origin_server_ts":1795288957499,"prev_events":["$N0etmlAYN79q5LK3AEQG_9AIszmZBMgOIcCJiNcY5V8"],"room_id":"!-ZRmwp0Haw3GCMVo-fECpTEC:localhost","sender":"@alice:localhost","signatures":{"localhost":{"ed25519:9398a5ff":"eZcnnsgUgoAxmSksH2QfCZpRhXt6x6Rj6lJ8qZiBfyx+9W/AHQveLphB4mpJCFWPqcf9tUYrw6p3TXNn7pyfAw"}},"state_key":"@alice:localhost","type":"m.room.member"}');
INSERT INTO state_snapshots (nid, room_nid, number, parent, tuple_nids, event_nids, unreachable_since) VALUES
	(1, 1, 1, NULL, '{2}', '{1}', NULL),
	(2, 1, 2, NULL, '{2,3}', '{1,2}', NULL),
	(3, 1, 3, NULL, '{2,3,5}', '{1,2,3}', NULL),
	(4, 1, 4, NULL, '{2,3,5,6}', '{1,2,3,4}', NULL),
	(5, 1, 5, NULL, '{2,3,5,6,4}', '{1,2,3,4,5}', NULL),
	(6, 1, 6, NULL, '{2,3,5,6,4,7}', '{1,2,3,4,5,6}', NULL),
	(7, 1, 7, NULL, '{2,3,5,6,4,7,1}', '{1,2,3,4,5,6,7}', NULL),
	(8, 1, 8, NULL, '{2,3,5,6,4,7,1,8}', '{1,2,3,4,5,6,7,8}', NULL),
	(9, 1, 9, NULL, '{2,3,5,6,4,7,1,8,9}', '{1,2,3,4,5,6,7,8,18}', NULL),
	(10, 1, 10, NULL, '{2,3,5,6,4,7,1,8,9}', '{1,19,3,4,5,6,7,8,18}', NULL);
INSERT INTO state_tuples (nid, type, state_key) OVERRIDING SYSTEM VALUE VALUES
	(1, 'm.room.name', ''),
	(2, 'm.room.create', ''),
	(3, 'm.room.member', '@alice:localhost'),
	(4, 'm.room.join_rules', ''),
	(5, 'm.room.power_levels', ''),
	(6, 'm.room.canonical_alias', ''),
	(7, 'm.room.history_visibility', ''),
	(8, 'm.room.member', '@bob:localhost'),
	(9, 'm.room.topic', '');
INSERT INTO thread_participants (root, user_nid, events) VALUES
	(9, 1, 1);
INSERT INTO threads (root, room_nid, events, latest_depth, latest_nid) VALUES
	(9, 1, 1, 15, 15);
INSERT INTO to_device_messages (nid, user_nid, device_id, "position", event) OVERRIDING SYSTEM VALUE VALUES
	(1, 2, 'BOB', 19, '{"type":"org.example.test","sender":"@alice:localhost","content":{"waiting":true}}');
INSERT INTO to_device_sent (key, created) VALUES
	('\xf799119204261e85b49bb8a910e29421f99d12304f75be08f8f3226232051aef', '2026-11-21 19:22:37.519316+00');
INSERT INTO transaction_ids (key, event_nid, user_nid, device_id, txn_id, created) VALUES
	('\x89e6e6d08c70065a78797988c653cbc4ffc2719f73964d08b4e053599325fefe', 9, 1, 'ALICE', 't1', '2026-11-21 19:22:37.021067+00'),
	('\x23dd8996140524af51da902a5268493d09bf5886601cfd6dc3586e40420df27c', 10, 2, 'BOB', 't2', '2026-11-21 19:22:37.040896+00'),
	('\xfed645f6ee7449220a3a52fe8ebdd01dc3ac4bb7969cb8a773d0116533d0d1a1', 11, 1, 'ALICE', 't3', '2026-11-21 19:22:37.062434+00'),
	('\xa02888a1f5fbf32239b65a598dabe94e1d31f745bf0047883d554f0a44c39439', 12, 2, 'BOB', 't4', '2026-11-21 19:22:37.136403+00'),
	('\xa88fdf6db211120574c1f29874a67381675c99aad3ff844b81fffd66043f0040', 13, 1, 'ALICE', 't5', '2026-11-21 19:22:37.153538+00'),
	('\xee1c9f22c2bddcc02c54f6f98103da8738dea6330719db942bfabb9a1fa022d8', 14, 2, 'BOB', 'r1', '2026-11-21 19:22:37.169182+00'),
	('\x00e22cfe01b2b0f89636aa7f0fdf81a48f856a10fa7cec8ac1b556754e57a07d', 15, 1, 'ALICE', 'th1', '2026-11-21 19:22:37.178338+00'),
	('\x2d37df1c3bd9528e456edae5db5771b196f43517fdbd3368567c1b6f6bc21836', 16, 1, 'ALICE', 'x1', '2026-11-21 19:22:37.21192+00'),
	('\x67c4d92bdc29599ba9c2f670c9c31190c9767134e04d13aabec6c0de7948c719', 17, 1, 'ALICE', 'x2', '2026-11-21 19:22:37.237329+00'),
	('\x600db5de444edea1d24868b2e2d911bb6a3c84345e4d8ab046b5f6b0ce6bf633', 20, 1, 'ALICE', 'last', '2026-11-21 19:22:37.747284+00');
SELECT pg_catalog.setval('public.access_tokens_nid_seq', 2, true);
SELECT pg_catalog.setval('public.appservice_transactions_nid_seq', 1, false);
SELECT pg_catalog.setval('public.chain_nids', 1, true);
SELECT pg_catalog.setval('public.epochs_epoch_seq', 1, true);
SELECT pg_catalog.setval('public.event_nids', 1, true);
SELECT pg_catalog.setval('public.event_types_nid_seq', 15, true);
SELECT pg_catalog.setval('public.knex_migrations_id_seq', 34, true);
SELECT pg_catalog.setval('public.knex_migrations_lock_index_seq', 1, true);
SELECT pg_catalog.setval('public.log_position', 22, true);
SELECT pg_catalog.setval('public.media_nid_seq', 1, false);
SELECT pg_catalog.setval('public.outbox_nid_seq', 1, false);
SELECT pg_catalog.setval('public.processes_nid_seq', 1, true);
SELECT pg_catalog.setval('public.push_outbox_nid_seq', 1, false);
SELECT pg_catalog.setval('public.pushers_nid_seq', 1, false);
SELECT pg_catalog.setval('public.reports_nid_seq', 1, false);
SELECT pg_catalog.setval('public.room_nids', 1, true);
SELECT pg_catalog.setval('public.snapshot_nids', 1, true);
SELECT pg_catalog.setval('public.staged_events_nid_seq', 1, false);
SELECT pg_catalog.setval('public.state_tuples_nid_seq', 9, true);
SELECT pg_catalog.setval('public.to_device_messages_nid_seq', 1, true);
SELECT pg_catalog.setval('public.users_nid_seq', 2, true);
