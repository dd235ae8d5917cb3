import 'dart:async';
import 'dart:io';

import 'cell.dart';
import 'handlers.dart';
import 'session/end.dart';
import 'session/session.dart';

/// The environment variable that holds the socket's path; a body sets it.
const socketVariable = 'CBS_SIDECAR_SOCKET';

/// Serves cells to the body that started this process, until the body says that it is enough. Ends the process: with
/// status 0 after the body's drain, 1 where something went wrong (the reason is on stderr), 64 where no body started it.
///
/// [use] is middleware around every cell, the first is the outermost. [inFlightMax] limits how many requests are taken at
/// once, beside the `concurrency` of the cell's spec.
///
/// ```dart
/// Future<void> main() => serve([cell('logic.shout', (ctx, input) => '$input'.toUpperCase())]);
/// ```
Future<void> serve(List<Cell> cells, {List<Middleware> use = const [], int inFlightMax = 0}) async {
  final names = {for (final cell in cells) cell.name};
  if (names.isEmpty || names.length < cells.length) {
    throw ArgumentError.value(cells.map((cell) => cell.name), 'cells', 'one at least, and each name once');
  }
  final path = Platform.environment[socketVariable];
  if (path == null || path.isEmpty) {
    stderr.writeln(
      'This program serves ${names.join(', ')} as a sidecar of a CBS body: the body starts it, and names its socket in\n'
      '$socketVariable. Write a spec with `runtime: dart` and run `cbs up`; tests of cells need no body\n'
      '(package:cbs/testing.dart).',
    );
    exit(64);
  }
  final End end;
  try {
    end = await serveOn(path, cells, use: use, inFlightMax: inFlightMax);
  } on SocketException catch (error) {
    stderr.writeln('the body cannot be reached at $path: ${error.osError?.message ?? error.message}');
    exit(1);
  }
  if (end.reason.isNotEmpty) stderr.writeln(end.reason);
  exit(end.status);
}

/// Serves cells on the socket at [path] and tells how that ended; does not end the process.
Future<End> serveOn(String path, List<Cell> cells, {List<Middleware> use = const [], int inFlightMax = 0}) async {
  final address = InternetAddress(path, type: InternetAddressType.unix);
  final socket = await RawSocket.connect(address, 0, timeout: const Duration(seconds: 10));
  final end = Completer<End>();
  Session? session;
  // One zone around it all: an error of a future that nobody awaits is logged, and ends nothing.
  runZonedGuarded(
    () {
      session = Session(socket, cells, use: use, inFlightMax: inFlightMax);
      unawaited(session!.end.then(end.complete));
    },
    (error, stack) {
      final known = session;
      if (known == null) {
        end.completeError(error, stack);
      } else {
        known.unhandled(error, stack);
      }
    },
  );
  return end.future;
}
