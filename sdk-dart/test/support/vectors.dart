import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/wire/frame.dart';

/// A file of specs/vectors, which all languages share.
Map<String, dynamic> vectors(String name) =>
    jsonDecode(File('../specs/vectors/$name').readAsStringSync()) as Map<String, dynamic>;

/// The entries of a list in it.
List<Map<String, dynamic>> entries(Map<String, dynamic> vectors, String name) =>
    (vectors[name] as List<dynamic>).cast<Map<String, dynamic>>();

/// Hexadecimal digits as bytes.
Uint8List unhex(Object? digits) {
  final text = digits as String? ?? '';
  return Uint8List.fromList([
    for (var at = 0; at < text.length; at += 2) int.parse(text.substring(at, at + 2), radix: 16),
  ]);
}

/// Bytes as hexadecimal digits.
String hex(Uint8List bytes) => Uuid.hex(bytes);

/// The header that an entry tells, with its payload.
Envelope envelopeOf(Map<String, dynamic> header, Uint8List payload) {
  Uuid? id(String name) => header[name] == null ? null : Uuid.parse(header[name] as String);
  String text(String name) => header[name] as String? ?? '';
  final target = header['target'] as String?;
  final trace = header['trace'] as String?;
  final source = header['source'] as Map<String, dynamic>? ?? const {};
  final error = header['error'] as Map<String, dynamic>?;
  return Envelope(
    kind: Kind.values.byName(text('kind')),
    id: id('id'),
    correlationId: id('correlation_id'),
    causationId: id('causation_id'),
    idempotencyKey: text('idempotency_key'),
    target: target == null ? null : Target.parse(target),
    source: Source(
      body: source['body'] as String? ?? '',
      cell: source['cell'] as String? ?? '',
      revision: source['revision'] as String? ?? '',
    ),
    schema: text('schema'),
    contentType: text('content_type'),
    timeMs: header['time_ms'] as int? ?? 0,
    timeoutMs: header['timeout_ms'] as int? ?? 0,
    trace: trace == null ? null : Trace.parse(trace),
    tracestate: text('tracestate'),
    error: error == null
        ? null
        : CellException(
            error['code'] as String,
            error['message'] as String,
            retryable: error['retryable'] as bool? ?? false,
            details: error['details'],
            hasDetails: error.containsKey('details'),
            notRun: error['not_run'] as bool? ?? false,
          ),
    attributes: [
      for (final pair in header['attributes'] as List<dynamic>? ?? const <dynamic>[])
        ((pair as List<dynamic>)[0] as String, pair[1] as String),
    ],
    attempt: header['attempt'] as int? ?? 0,
    payload: payload,
  );
}

/// What an envelope says, as the vectors tell it.
Map<String, Object?> headerOf(Envelope envelope) {
  final source = envelope.source;
  final error = envelope.error;
  return {
    'kind': envelope.kind.name,
    if (envelope.id != null) 'id': '${envelope.id}',
    if (envelope.correlationId != null) 'correlation_id': '${envelope.correlationId}',
    if (envelope.causationId != null) 'causation_id': '${envelope.causationId}',
    if (envelope.idempotencyKey.isNotEmpty) 'idempotency_key': envelope.idempotencyKey,
    if (envelope.target != null) 'target': '${envelope.target}',
    if (!source.isEmpty)
      'source': {
        if (source.body.isNotEmpty) 'body': source.body,
        if (source.cell.isNotEmpty) 'cell': source.cell,
        if (source.revision.isNotEmpty) 'revision': source.revision,
      },
    if (envelope.schema.isNotEmpty) 'schema': envelope.schema,
    if (envelope.contentType.isNotEmpty) 'content_type': envelope.contentType,
    if (envelope.timeMs != 0) 'time_ms': envelope.timeMs,
    if (envelope.timeoutMs != 0) 'timeout_ms': envelope.timeoutMs,
    if (envelope.trace != null) 'trace': '${envelope.trace}',
    if (envelope.tracestate.isNotEmpty) 'tracestate': envelope.tracestate,
    if (error != null)
      'error': {
        'code': error.code,
        'message': error.message,
        if (error.retryable) 'retryable': true,
        if (error.hasDetails) 'details': error.details,
        if (error.notRun) 'not_run': true,
      },
    if (envelope.attributes.isNotEmpty)
      'attributes': [
        for (final (key, value) in envelope.attributes) [key, value],
      ],
    if (envelope.attempt != 0) 'attempt': envelope.attempt,
  };
}

/// The frame of the sidecar protocol that an entry tells.
Frame frameOf(Map<String, dynamic> entry) {
  final fields = entry.values.single as Map<String, dynamic>;
  int number(String name) => fields[name] as int? ?? 0;
  String text(String name) => fields[name] as String? ?? '';
  List<Map<String, dynamic>> maps(String name) =>
      (fields[name] as List<dynamic>? ?? const <dynamic>[]).cast<Map<String, dynamic>>();
  return switch (entry.keys.single) {
    'hello' => Hello(
        protocol: number('protocol'),
        sdk: text('sdk'),
        language: text('language'),
        cells: (fields['cells'] as List<dynamic>? ?? const <dynamic>[]).cast<String>(),
        frameBytesMax: number('frame_bytes_max'),
        credit: number('credit'),
        inFlightMax: number('in_flight_max'),
      ),
    'welcome' => Welcome(
        protocol: number('protocol'),
        version: text('version'),
        body: text('body'),
        namespace: text('namespace'),
        cells: [
          for (final cell in maps('cells'))
            CellSpec(
              name: cell['name'] as String? ?? '',
              revision: cell['revision'] as String? ?? '',
              config: cell['config'] == null ? null : unhex(cell['config']),
              concurrency: cell['concurrency'] as int? ?? 0,
              timeoutMs: cell['timeout_ms'] as int? ?? 0,
            ),
        ],
        frameBytesMax: number('frame_bytes_max'),
        credit: number('credit'),
        pingMs: number('ping_ms'),
        instance: number('instance'),
        inFlightMax: number('in_flight_max'),
        notesMax: number('notes_max'),
      ),
    'ready' => const Ready(),
    'request' => Request(id: number('id'), envelope: unhex(fields['envelope']), within: number('within')),
    'reply' => Reply(id: number('id'), envelope: unhex(fields['envelope'])),
    'cancel' => Cancel(number('id')),
    'print' => Print(text('line'), within: number('within')),
    'ask' => Ask(id: number('id'), question: text('question'), within: number('within')),
    'log' => Log(
        level: fields['level'] == null ? Level.info : Level.values.byName(text('level')),
        message: text('message'),
        within: number('within'),
        logger: text('logger'),
        fields: maps('fields').map(_pair).toList(),
      ),
    'note' => Note(
        within: number('within'),
        attribute: fields['attribute'] == null ? null : _pair(fields['attribute'] as Map<String, dynamic>),
        event: _eventOf(fields['event'] as Map<String, dynamic>?),
        dropped: number('dropped'),
      ),
    'credit' => Credit(number('bytes')),
    'ping' => Ping(number('nonce')),
    'pong' => Pong(
        nonce: number('nonce'),
        inFlight: number('in_flight'),
        queued: number('queued'),
        lagUs: number('lag_us'),
        lockWaitUs: number('lock_wait_us'),
      ),
    'drain' => Drain(timeoutMs: number('timeout_ms')),
    'goodbye' => Goodbye(text('reason')),
    final other => throw StateError('the vectors have a kind $other, these tests do not'),
  };
}

(String, String) _pair(Map<String, dynamic> field) => (field['key'] as String? ?? '', field['value'] as String? ?? '');

NoteEvent? _eventOf(Map<String, dynamic>? event) => event == null
    ? null
    : NoteEvent(
        event['name'] as String? ?? '',
        timeNs: event['time_ns'] as int? ?? 0,
        attributes: (event['attributes'] as List<dynamic>? ?? const <dynamic>[])
            .cast<Map<String, dynamic>>()
            .map(_pair)
            .toList(),
      );
