# Makes the scratch cluster from the newest backup and waits until it answers. What fails is told by finish.sh, which
# also cleans up, so this always ends well.
say() { echo "$1" | tee -a /tmp/report; }

remove() {
  kubectl delete "$RESOURCE/$SCRATCH" --ignore-not-found --wait --timeout=600s
}

date +%s >/tmp/began
say "deleting what an earlier drill may have left"
remove || { echo "an earlier scratch cluster cannot be deleted" >/tmp/failed; exit 0; }

say "restoring the newest backup into $SCRATCH"
kubectl create -f /drill/cluster.yaml || { echo "the scratch cluster cannot be created" >/tmp/failed; exit 0; }
kubectl wait "$RESOURCE/$SCRATCH" --for=condition=Ready --timeout="${TIMEOUT_SECONDS}s" ||
  { echo "the scratch cluster did not become ready" >/tmp/failed; kubectl get "$RESOURCE/$SCRATCH" -o yaml; exit 0; }
date +%s >/tmp/ready
say "recovery time: $(($(cat /tmp/ready) - $(cat /tmp/began))) s"
