#!/bin/sh
# Starts Hansa the way Complement expects of an image. Runs at every start of the container; what it makes lies in /data.
set -e
mkdir -p /data
cd /data

# A certificate for SERVER_NAME from Complement's authority, made again at each start: each run brings its own.
printf 'subjectAltName=DNS:%s\n' "$SERVER_NAME" >san.ext
openssl req -newkey rsa:2048 -nodes -keyout tls.key -out tls.csr -subj "/CN=$SERVER_NAME" 2>/dev/null
openssl x509 -req -in tls.csr -CA /complement/ca/ca.crt -CAkey /complement/ca/ca.key -set_serial 1 \
  -days 30 -extfile san.ext -out tls.crt 2>/dev/null

# The registrations that Complement has put in place; a folder of ours, as theirs need not exist.
mkdir -p appservices
cp /complement/appservice/*.yaml appservices/ 2>/dev/null || true

export HANSA_SERVER_NAME="$SERVER_NAME"
exec node /app/dist/src/main.js serve --config /app/config/conformance.yaml
