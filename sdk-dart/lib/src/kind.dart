/// What an envelope is for. The numbers 4 to 8 are reserved on the wire.
enum Kind {
  /// Asks for a reply.
  request,

  /// Answers a request.
  reply,

  /// Answers a request with an error.
  error,

  /// Tells whoever listens; nobody answers.
  event,
}
