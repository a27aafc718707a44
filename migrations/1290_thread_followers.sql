-- Whoever counts an event of a thread asks who follows it.
CREATE INDEX thread_subscriptions_followers ON thread_subscriptions (root) WHERE subscribed;
