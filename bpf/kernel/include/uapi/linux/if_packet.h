/* Empty: BCC includes it and needs nothing of it. */
