"""The sending loop: takes turns, claims, sends, settles. Knows nothing of files, lists or people."""
