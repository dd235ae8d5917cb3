import 'body_bus.dart';
import 'cancellation.dart';
import 'cell_env.dart';
import 'cell_exception.dart';
import 'cell_log.dart';
import 'clock.dart';
import 'envelope.dart';
import 'kind.dart';
import 'payload.dart';
import 'source.dart';
import 'span.dart';
import 'target.dart';
import 'trace.dart';
import 'typed_payload.dart';
import 'uuid.dart';

/// One call as its cell sees it: the way to other cells, its time, its log. What the cell sends through it carries
/// correlation, causation, trace and the remaining time by itself.
///
/// ```dart
/// Future<Object?> place(Context ctx, Object? order) async {
///   final free = await ctx.call<bool>('stock.reserve', order);
///   if (free) await ctx.publish('order.placed', order);
///   ctx.log.info('order placed', {'left': ctx.remaining});
///   return free;
/// }
/// ```
final class Context {
  /// The context of a request; bodies and tests make it.
  Context({
    required this.env,
    required this.request,
    required BodyBus bus,
    required Cancellation cancellation,
    required int dueUs,
    this.within = 0,
  })  : _bus = bus,
        _cancellation = cancellation,
        _dueUs = dueUs;

  final BodyBus _bus;
  final Cancellation _cancellation;
  final int _dueUs;

  /// Where the cell lives.
  final CellEnv env;

  /// The request itself.
  final Envelope request;

  /// The request's number in the sidecar protocol.
  final int within;

  static final _nil = Uuid.parse('00000000-0000-0000-0000-000000000000');

  Uuid get _id => request.id ?? _nil;
  Uuid get _correlation => request.correlationId ?? _id;

  /// The request's id.
  String get id => '$_id';

  /// The id of the request that began it all.
  String get correlationId => '$_correlation';

  /// 1 for the first attempt of the call, one more for each retry: as traces count. (In an envelope it is 0.)
  int get attempt => request.attempt + 1;

  /// Who made the call: a claim for diagnosis, never authority.
  Source get caller => request.source;

  /// The spec's `config`.
  Map<String, Object?> get config => env.config;

  /// The position in the trace that this call's own requests carry, as a W3C `traceparent`.
  String get traceparent =>
      '${request.trace?.at(_id, request.attempt) ?? Trace.implied(_correlation, _id, request.attempt)}';

  /// The span that the body records of this call: for attributes and events of its author.
  Span get span => _span ??= Span(_bus, this);

  Span? _span;

  /// Number of its attributes and events that were dropped.
  int get notesDropped => _span?.dropped ?? 0;

  /// How long until the caller gives up; zero when it has.
  Duration get remaining {
    final left = _dueUs - Clock.nowUs;
    return left > 0 ? Duration(microseconds: left) : Duration.zero;
  }

  /// When the caller gives up, by this machine's clock.
  DateTime get deadline => DateTime.now().add(Duration(microseconds: _dueUs - Clock.nowUs));

  /// Whether nobody waits for the answer any more.
  bool get isCancelled => _cancellation.isCancelled;

  /// Completes when nobody waits for the answer any more: the caller gave up, or its time is over. Handlers that take
  /// long look at it; those that do not are answered for, and go on unheard.
  Future<void> get cancelled => _cancellation.future;

  /// The body's log, with this call's ids.
  CellLog get log => CellLog(_bus, this);

  /// Calls another cell (`organ.cell`) or a flow (`flow name`) with JSON, and waits for its JSON.
  ///
  /// [value] is anything JSON holds, or has a `toJson`. [decode] makes an object of a reply that is a map, as `fromJson`
  /// constructors do; without it the JSON itself is given back. [timeout] may shorten the time that remains.
  ///
  /// Throws a [CellException]: the other cell's, or why it could not be reached.
  Future<T> call<T>(
    String cell,
    Object? value, {
    T Function(Map<String, dynamic> json)? decode,
    Duration? timeout,
  }) async {
    final reply = await send(
      Envelope(
        kind: Kind.request,
        target: _target(() => Target.parse(cell)),
        timeoutMs: timeout == null ? 0 : _wholeMs(timeout),
        payload: Payload.encode(value),
      ),
    );
    return TypedPayload.reply(cell, reply.payload, decode);
  }

  /// Publishes an event as JSON; completes when the bus has taken it.
  ///
  /// Throws a [CellException]: `unavailable`, `too-large`, or `bad-request` for a topic that is none.
  Future<void> publish(String topic, Object? value) async {
    final target = _target(() => Target.topic(topic));
    await send(Envelope(kind: Kind.event, target: target, payload: Payload.encode(value)));
  }

  /// Sends an envelope of one's own making: a request or an event. It gets this call's ids and trace; a timeout of 0, or
  /// one that is longer, becomes the time that remains.
  Future<Envelope> send(Envelope request) => _bus.send(this, request);

  /// Prints one line on the standard output of the body's program; completes when it is on its way.
  Future<void> print(String line) => _bus.print(this, line);

  /// Asks the person at the body's program. Null where nobody can be asked.
  Future<String?> ask(String question) => _bus.ask(this, question);

  /// The timeout of a request sent now, in whole milliseconds: what remains, or what it wants where that is less.
  int timeoutMs(int wanted) {
    final left = _wholeMs(remaining);
    return wanted > 0 && wanted < left ? wanted : left;
  }

  /// Rounded up: a call with half a millisecond left is not one without a limit.
  static int _wholeMs(Duration time) => (time.inMicroseconds + 999) ~/ 1000;

  static Target _target(Target Function() parse) {
    try {
      return parse();
    } on FormatException catch (error) {
      throw CellException.badRequest(error.message);
    }
  }
}
