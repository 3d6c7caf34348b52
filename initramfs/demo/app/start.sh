#!/bin/sh
# Answers every connection on port 8080 with one run of answer.sh.
exec socat TCP-LISTEN:8080,fork,reuseaddr,max-children=8 EXEC:/app/answer.sh
