"""The only place that knows the whole chain alarm, retraining, gates, approval, deployment.

Hands out: `controller.Controller` (compares what is wanted with what is, takes one step, records it, can be killed
anywhere), `approvals` (the question to a person, and the answer), `retrainings.list_retrainings`, and `policy.decide`
(when an alarm starts a retraining).
"""
