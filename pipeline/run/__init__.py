"""The run: plan, ledger, worker, pools, progress. The only room that knows Ray."""
