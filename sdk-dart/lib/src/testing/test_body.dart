import 'dart:async';

import '../body_bus.dart';
import '../cancellation.dart';
import '../cell.dart';
import '../cell_env.dart';
import '../cell_exception.dart';
import '../clock.dart';
import '../context.dart';
import '../envelope.dart';
import '../handlers.dart';
import '../hosted_cell.dart';
import '../kind.dart';
import '../payload.dart';
import '../source.dart';
import '../span.dart';
import '../target.dart';
import '../topic_filter.dart';
import '../typed_payload.dart';
import '../uuid.dart';
import '../wire/envelope_reader.dart';
import '../wire/envelope_writer.dart';
import '../wire/frame.dart' show Level;
import 'test_event.dart';
import 'test_log_line.dart';
import 'test_span.dart';

/// A body for tests: it calls cells within the test, with the same errors, deadlines and JSON as a real one.
///
/// ```dart
/// test('a greeting is printed and given back', () async {
///   final body = TestBody([printGreeting]);
///   addTearDown(body.close);
///   expect(await body.call('io.print_greeting', {'text': 'Hello'}), {'text': 'Hello'});
///   expect(body.printed, ['Hello']);
/// });
/// ```
final class TestBody {
  /// A body with these cells. [config] is each cell's own, by the cell's name; [timeout] is the most that one call takes;
  /// [use] is middleware around every cell.
  TestBody(
    List<Cell> cells, {
    Map<String, Map<String, Object?>> config = const {},
    Duration timeout = const Duration(seconds: 5),
    List<Middleware> use = const [],
  }) {
    for (final cell in cells) {
      if (_hosted.containsKey(cell.name)) throw ArgumentError.value(cell.name, 'cells', 'twice the same name');
      final env = CellEnv(
        cell: cell.name,
        body: 'test',
        revision: 'test',
        config: config[cell.name] ?? const {},
        timeout: timeout,
      );
      _hosted[cell.name] = HostedCell(cell, env, _bus, use);
    }
  }

  final _hosted = <String, HostedCell>{};
  final _standIns = <Target, JsonHandler>{};
  final _events = <TestEvent>[];
  final _spans = <String, List<TestSpan>>{};
  final _spanOf = Expando<TestSpan>();
  late final BodyBus _bus = _TestBus(this);
  Future<void>? _started;

  /// What cells printed, line by line.
  final List<String> printed = [];

  /// What cells wrote to the log.
  final List<TestLogLine> log = [];

  /// What the person at the body answers to cells that ask, in order; nobody can be asked when there are none left.
  final List<String> answers = [];

  /// Which questions cells asked.
  final List<String> questions = [];

  /// The events that a filter hears, `order.>` for example, in order; all of them without one.
  List<TestEvent> events([String filter = '>']) {
    final hears = TopicFilter(filter);
    return [
      for (final event in _events)
        if (hears.matches(event.topic)) event,
    ];
  }

  /// What was said about the calls of a cell (`shop.place`) through `ctx.span`, one for each call, in order.
  List<TestSpan> spans(String cell) => [...?_spans[cell]];

  /// Answers calls to a cell (`stock.reserve`) or flow (`flow greeting`) that is not under test.
  void standIn(String target, JsonHandler handler) => _standIns[Target.parse(target)] = handler;

  /// Calls a cell as a program would, and gives back its reply, read as JSON or by [decode].
  ///
  /// Throws the [CellException] that a caller would get.
  Future<T> call<T>(
    String cell,
    Object? input, {
    T Function(Map<String, dynamic> json)? decode,
    Duration? timeout,
    Source caller = const Source(),
    int attempt = 0,
  }) async {
    final reply = await send(
      Envelope(
        kind: Kind.request,
        id: Uuid.now(),
        target: Target.parse(cell),
        source: caller,
        timeoutMs: timeout == null ? 0 : (timeout.inMicroseconds + 999) ~/ 1000,
        attempt: attempt,
        payload: Payload.encode(input),
      ),
    );
    return TypedPayload.reply(cell, reply.payload, decode);
  }

  /// Sends an envelope as it is, and gives back the reply's. Throws its [CellException].
  Future<Envelope> send(Envelope request) async {
    await (_started ??= _start());
    final target = request.target;
    final hosted = target?.kind == 'cell' ? _hosted[target?.name] : null;
    final reply = hosted != null ? await _run(hosted, request) : await _standIn(request);
    if (reply.kind != Kind.error) return reply;
    throw reply.error ?? const CellException('internal', 'an error reply without an error');
  }

  Future<void> _start() async {
    for (final hosted in _hosted.values) {
      await hosted.cell.onStart?.call(hosted.env);
    }
  }

  /// Runs the cells' stop hooks, if any cell was called.
  Future<void> close() async {
    if (_started == null) return;
    _started = null;
    for (final hosted in _hosted.values) {
      await hosted.cell.onStop?.call();
    }
  }

  Context _context(CellEnv env, Envelope request, Cancellation cancellation, int grantedUs) {
    final context = Context(
      env: env,
      request: request,
      bus: _bus,
      cancellation: cancellation,
      dueUs: Clock.nowUs + grantedUs,
    );
    (_spans[env.cell] ??= []).add(_spanOf[context] = TestSpan());
    return context;
  }

  Future<Envelope> _run(HostedCell hosted, Envelope request) async {
    final cancellation = Cancellation();
    final grantedUs = hosted.grantedUs(request);
    final answer = hosted.answer(_context(hosted.env, request, cancellation, grantedUs), request);
    if (answer is Envelope) return _carried(answer);
    final reply = await answer.timeout(
      Duration(microseconds: grantedUs),
      onTimeout: () {
        cancellation.cancel();
        return Envelope.error(hosted.late(grantedUs));
      },
    );
    return _carried(reply);
  }

  /// The reply as it comes out at the other end of a socket.
  static Envelope _carried(Envelope reply) => EnvelopeReader.read(EnvelopeWriter.bytes(reply));

  Future<Envelope> _standIn(Envelope request) async {
    final target = request.target;
    final handler = _standIns[target];
    if (handler == null) {
      throw CellException('not-found', 'nobody serves $target; give the test body a stand-in', notRun: true);
    }
    final env = CellEnv(cell: target!.name, body: 'test');
    final context = _context(env, request, Cancellation(), request.timeoutMs * 1000);
    return Envelope.reply(Payload.encode(await handler(context, Payload.decode(request.payload))));
  }

  Future<Envelope> _sendFrom(Context context, Envelope request) async {
    final timeoutMs = context.timeoutMs(request.timeoutMs);
    if (timeoutMs == 0) throw CellException('timeout', 'no time is left to call ${request.target}', notRun: true);
    if (request.kind == Kind.event) {
      _events.add(TestEvent(request.target!.name, Payload.decode(request.payload)));
      return Envelope.reply(Envelope.nothing);
    }
    final id = context.request.id;
    final inherited = Envelope(
      kind: request.kind,
      id: Uuid.now(),
      correlationId: context.request.correlationId ?? id,
      causationId: id,
      idempotencyKey: request.idempotencyKey,
      target: request.target,
      source: Source(body: 'test', cell: 'cell ${context.env.cell}', revision: context.env.revision),
      schema: request.schema,
      contentType: request.contentType,
      timeoutMs: timeoutMs,
      trace: context.request.trace?.at(id!, context.request.attempt),
      tracestate: context.request.tracestate,
      attributes: request.attributes,
      attempt: request.attempt,
      payload: request.payload,
    );
    return send(inherited).timeout(
      Duration(milliseconds: timeoutMs),
      onTimeout: () => throw CellException('timeout', '${request.target} gave no answer within $timeoutMs ms'),
    );
  }
}

/// What the cells' contexts speak through.
final class _TestBus implements BodyBus {
  _TestBus(this._body);

  final TestBody _body;

  @override
  Future<Envelope> send(Context context, Envelope request) => _body._sendFrom(context, request);

  @override
  Future<void> print(Context context, String line) async => _body.printed.add(line);

  @override
  Future<String?> ask(Context context, String question) async {
    _body.questions.add(question);
    return _body.answers.isEmpty ? null : _body.answers.removeAt(0);
  }

  @override
  int get notesMax => Span.notesMax;

  @override
  bool attribute(Context context, String key, String value) {
    _body._spanOf[context]!.attributes[key] = value;
    return true;
  }

  @override
  bool event(Context context, String name, int timeNs, List<(String, String)> attributes) {
    _body._spanOf[context]!.events.add((name, {for (final (key, value) in attributes) key: value}));
    return true;
  }

  @override
  void log(Context? context, Level level, String message, {String logger = '', Map<String, Object?>? fields}) =>
      _body.log.add(TestLogLine(level.name, message, fields ?? const {}));
}
