#!/bin/sh
# One HTTP request on stdin, its answer on stdout. `/` is a page for people, `/check` the same facts as JSON.
set -u
SOCKET=/var/run/dstack.sock

# rpc METHOD JSON: asks the guest agent; prints the body of the answer. The agent closes the connection after it (HTTP/1.0);
# our side stays open until then.
rpc() {
  printf 'POST /%s HTTP/1.0\r\nHost: dstack\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
    "$1" "${#2}" "$2" | socat -T 90 STDIO,ignoreeof "UNIX-CONNECT:$SOCKET" | sed '1,/^\r$/d'
}

# field NAME: the string member NAME of the compact JSON on stdin
field() { sed -n "s/.*\"$1\":\"\\([^\"]*\\)\".*/\\1/p"; }

# An ed25519 private key is 32 bytes; this is its PKCS#8 wrapping (RFC 8410). The key travels through pipes only.
public_key() {
  { printf 302e020100300506032b657004220420; cat; } | xxd -r -p |
    openssl pkey -inform DER -pubout -outform DER | xxd -p -c 64 | cut -c25-
}

answer() { # STATUS TYPE BODY
  printf 'HTTP/1.0 %s\r\nContent-Type: %s; charset=utf-8\r\nCache-Control: no-store\r\n\r\n%s' "$1" "$2" "$3"
}

facts() {
  info=$(rpc Info '{}')
  app_id=$(echo "$info" | field app_id)
  instance_id=$(echo "$info" | field instance_id)
  public_key=$(rpc GetKey '{"path":"demo","purpose":"page","algorithm":"ed25519"}' | field key | public_key)
  asked=$(head -c 32 /dev/urandom | xxd -p -c 64)
  quote=$(rpc GetQuote "{\"report_data\":\"$asked\"}" | field quote)
  quoted=$(echo "$quote" | cut -c1137-1264) # the 64 bytes at offset 568 of a version 4 quote
  if [ "$quoted" = "$asked$(printf %064d 0)" ]; then contained=true; else contained=false; fi
  [ -n "$app_id" ] && [ -n "$public_key" ] && [ -n "$quote" ]
}

page() {
  if [ "$contained" = true ]; then verdict='The quote contains this number.'; else verdict='The quote does NOT contain it.'; fi
  sed -e "s/@APP_ID@/$app_id/" -e "s/@INSTANCE_ID@/$instance_id/" -e "s/@PUBLIC_KEY@/$public_key/" \
    -e "s/@ASKED@/$asked/" -e "s/@VERDICT@/$verdict/" -e "s/@SIZE@/$((${#quote} / 2))/" -e "s/@CLASS@/$contained/" \
    /app/page.html
}

check() {
  printf '{"app_id":"%s","instance_id":"%s","public_key":"%s","report_data":"%s","quote_bytes":%s,"quote_contains_report_data":%s}\n' \
    "$app_id" "$instance_id" "$public_key" "$asked" "$((${#quote} / 2))" "$contained"
}

read -r method path _ || exit 0
while read -r line && [ "$line" != "$(printf '\r')" ]; do :; done # the headers

case "$method $path" in
'GET /' | 'GET /check') ;;
*) answer '404 Not Found' text/plain 'There is / and there is /check.' && exit ;;
esac
if ! facts; then
  answer '503 Service Unavailable' text/plain 'The guest agent does not answer.'
elif [ "$path" = / ]; then
  answer '200 OK' text/html "$(page)"
else
  answer '200 OK' application/json "$(check)"
fi
