"""From an alarm to a challenger: the policy, the states, the steps between them, training in its own process."""
