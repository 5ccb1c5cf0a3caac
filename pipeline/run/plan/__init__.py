"""From configuration to a frozen plan, and the plan itself."""
