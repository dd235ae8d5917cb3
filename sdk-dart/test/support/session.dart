import 'dart:async';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/serve.dart';
import 'package:cbs/src/session/end.dart';
import 'package:test/test.dart';

import 'scripted_body.dart';

/// Serves cells in this process to a body that the test plays, and ends both with the test.
Future<(ScriptedBody, Future<End>)> session(
  List<Cell> cells, {
  List<Middleware> use = const [],
  int inFlightMax = 0,
}) async {
  final body = await ScriptedBody.listen();
  addTearDown(body.close);
  return (body, serveOn(body.path, cells, use: use, inFlightMax: inFlightMax));
}

/// Waits until something is so.
Future<void> eventually(bool Function() isSo, [String what = 'it']) async {
  final watch = Stopwatch()..start();
  while (!isSo()) {
    if (watch.elapsed > ScriptedBody.patience) throw TimeoutException('$what did not come about');
    await Future<void>.delayed(const Duration(milliseconds: 1));
  }
}
