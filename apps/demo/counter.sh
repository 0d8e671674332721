#!/bin/sh
# SPDX-License-Identifier: MIT
# The demonstration's server: a program that knows nothing of networks, and counts on standard input and output.
count=0
echo "Hello, I am process $$, started for you alone. Try: up, env, help, quit"
while IFS= read -r line; do
    case ${line%"$(printf '\r')"} in
        up) count=$((count + 1)) && echo "$count" ;;
        env) env ;;
        quit) exit 0 ;;
        *) echo "up: count up; env: what I was told about you; quit: end me" ;;
    esac
done
