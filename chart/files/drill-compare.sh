# Compares the restored databases with the live ones. Like restore.sh it always ends well.
test ! -e /tmp/failed || exit 0
say() { echo "$1" | tee -a /tmp/report; }
fail() { say "FAILED: $1"; echo "$1" >>/tmp/failed; }

live() { psql -XAtq -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }
restored() {
  # It has a certificate authority of its own: with a file named, `require` would check by that of the live cluster.
  PGSSLROOTCERT='' PGHOST=$SCRATCH_HOST PGPASSWORD=$SCRATCH_PASSWORD PGSSLMODE=${SCRATCH_SSLMODE:-require} \
    psql -XAtq -v ON_ERROR_STOP=1 -d "$1" -c "$2"
}

tables="SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
newest="SELECT greatest((SELECT coalesce(max(greatest(start_time, end_time)), 0) FROM runs),
  (SELECT coalesce(max(last_update_time), 0) FROM experiments)) / 1000"

# The live side is asked first: what it has now, the restored one can only have less of.
compare() {
  names=$(live "$1" "$tables") || { fail "the live database $1 cannot be read"; return; }
  for table in $names; do
    # A server makes these for itself: what waits to be sent, whose logins failed. They come and go.
    case $table in ff_*) continue ;; esac
    here=$(live "$1" "SELECT count(*) FROM public.\"$table\"") || { fail "the live $1.$table cannot be read"; continue; }
    there=$(restored "$1" "SELECT count(*) FROM public.\"$table\"") || { fail "$1.$table cannot be read"; continue; }
    say "$1.$table: $here rows, $there restored"
    test "$here" -eq 0 || test "$there" -gt 0 || fail "$1.$table came back empty"
    case $table in
      alembic_version*)
        test "$(live "$1" "TABLE $table")" = "$(restored "$1" "TABLE $table")" || fail "$1.$table: another revision"
        ;;
    esac
  done
}

restored "$DATABASE" "SELECT 1" >/dev/null || { fail "the restored database $DATABASE does not answer"; exit 0; }
now=$(live "$DATABASE" "$newest") || { fail "the live database $DATABASE cannot be read"; exit 0; }
then=$(restored "$DATABASE" "$newest") || { fail "the restored database $DATABASE has no runs"; exit 0; }
lag=$((now - then))
say "data loss: the newest change is $lag s behind"
test "$lag" -le "$MAX_LAG_SECONDS" || fail "the newest change is $lag s behind, more than $MAX_LAG_SECONDS s"
compare "$DATABASE"
test "$USERS_DATABASE" = "$DATABASE" || compare "$USERS_DATABASE"
exit 0
