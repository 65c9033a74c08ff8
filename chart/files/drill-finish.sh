# Deletes the scratch cluster with its volumes and says how it went.
kubectl delete "$RESOURCE/$SCRATCH" --ignore-not-found --wait --timeout=600s ||
  echo "the scratch cluster $SCRATCH cannot be deleted" >>/tmp/failed
echo "--- report"
cat /tmp/report
if test -e /tmp/failed; then
  echo "--- the drill FAILED"
  cat /tmp/failed
  exit 1
fi
echo "--- the backup can be restored"
