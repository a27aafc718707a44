// What is asked of media, by clients and by other servers.
import { Type } from "typebox";

export const MediaId = Type.String({ pattern: "^[A-Za-z0-9_-]{1,255}$" });

const length = Type.Integer({ minimum: 1, maximum: 100_000 });
export const thumbnailSize = {
  width: length,
  height: length,
  method: Type.Union([Type.Literal("crop"), Type.Literal("scale")], { default: "scale" }),
  animated: Type.Boolean({ default: false }),
};
