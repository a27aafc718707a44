// What operations on events have in common where these are sent later (MSC4140).
import { Type } from "typebox";

/** Milliseconds until an event is sent. */
export const delay = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** The parameter with which the operations that send events were asked to do it later before this had a path of its own. */
export const delayParameter = { "org.matrix.msc4140.delay": Type.Optional(delay) };

/** Of operations that send events: for how many milliseconds the event is sticky (MSC4354). */
export const stickyParameter = { "org.matrix.msc4354.sticky_duration_ms": Type.Optional(Type.Integer({ minimum: 0, maximum: 3_600_000 })) };

/** The answer of an operation that has scheduled an event. */
export const delayed = Type.Object({ delay_id: Type.String() });
