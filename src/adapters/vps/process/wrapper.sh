# Runs one attempt and writes down how it ended, whether or not the server that started it still lives.
# Called by the process runner as: setsid sh -c THIS cloud-code FOLDER COMMAND…; what it prints first is read by the server.
folder=$1
shift
read -r boot </proc/sys/kernel/random/boot_id
read -r stat </proc/$$/stat
printf '%s\n%s\n' "$boot" "$stat" >"$folder/process.$$" || exit 125
# A hard link is made by one only, however many servers start the attempt at once; the others leave without running anything.
if ! ln "$folder/process.$$" "$folder/process" 2>/dev/null; then
    rm -f "$folder/process.$$"
    [ ! -e "$folder/process" ] || echo found
    exit 0
fi
rm -f "$folder/process.$$"
# Signals go to the whole group: this shell outlives them to write the exit code. A trap is undone in the command that it runs,
# where a signal that is ignored would stay ignored.
trap : HUP INT QUIT TERM
# The server may have died since, and nobody reads this any more: that must not end the attempt.
trap '' PIPE
echo started 2>/dev/null
trap - PIPE
exec >>"$folder/log" 2>&1 </dev/null
"$@"
code=$?
printf '%s\n' "$code" >"$folder/exit.tmp" && mv "$folder/exit.tmp" "$folder/exit"
