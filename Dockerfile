FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY spec spec
COPY src src
COPY test test
RUN npm run build && npm prune --omit=dev

FROM node:24-slim
ENV NODE_ENV=production HANSA_DATA_FOLDER=/data HANSA_LISTEN_ADDRESS=0.0.0.0
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY --from=build /app/dist/spec dist/spec
COPY migrations migrations
RUN mkdir /data && chown node:node /data && chmod +x dist/src/main.js && ln -s /app/dist/src/main.js /usr/local/bin/hansa
USER node
VOLUME /data
EXPOSE 8008
HEALTHCHECK --start-period=30s --interval=10s --timeout=3s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HANSA_LISTEN_PORT ?? 8008}/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=64", "dist/src/main.js"]
CMD ["serve"]
