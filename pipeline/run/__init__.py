"""The run: plan, ledger, worker, pools, progress. The room that knows Ray."""
