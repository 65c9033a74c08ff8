# Reads artifacts of the newest runs and models that the restored database names. Like restore.sh it always ends well.
test ! -e /tmp/failed || exit 0
say() { echo "$1" | tee -a /tmp/report; }
fail() { say "FAILED: $1"; echo "$1" >>/tmp/failed; }

# It has a certificate authority of its own, and no users that anybody could be mistaken for.
unset PGSSLROOTCERT
export PGHOST=$SCRATCH_HOST PGPASSWORD=$SCRATCH_PASSWORD PGSSLMODE=${SCRATCH_SSLMODE:-require}
if ferroflow storage sample "$MLFLOW_BACKEND_STORE_URI" >/tmp/sample; then
  say "artifacts: $(cat /tmp/sample)"
elif test ! -s /tmp/sample; then
  fail "artifacts cannot be looked for"
elif grep -q '"read":0,' /tmp/sample; then
  fail "no artifact that the restored database names can be read: $(cat /tmp/sample)"
else
  # Deleted since, by people or by gc: that is not the backup's fault.
  say "artifacts, of which some are missing: $(cat /tmp/sample)"
fi
exit 0
