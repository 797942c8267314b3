"""Detection on live sound: from a microphone, from raw samples or a WAV stream on a pipe."""
