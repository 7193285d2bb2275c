"""How versions beside the champion go on: the next step of a ramp, or the end where one was shown to be worse."""
