-- The last update that its agent told to be stored, of an attempt that was lost: if the stream loses it afterwards, nobody
-- else can tell its readers that something is missing.
ALTER TABLE attempts ADD COLUMN told INTEGER;
