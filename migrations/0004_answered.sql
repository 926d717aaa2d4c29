-- How often a message that was taken was put back, so that takes which nobody answered can be told from those: whoever made them was killed.
-- What was there before counts as answered.
ALTER TABLE messages ADD COLUMN answered BIGINT NOT NULL DEFAULT 0;
UPDATE messages SET answered = receives;
