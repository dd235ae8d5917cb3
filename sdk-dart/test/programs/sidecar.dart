import 'dart:async';

import 'package:cbs/cbs.dart';

/// 16 KiB, and how many of them: 320 MB.
final _line = 'x' * 16384;
const _lines = 20000;

/// What process_test.dart starts: one cell that does what it is told.
Future<void> main() => serve([
      cell(
        'demo.echo',
        (ctx, input) async {
          switch (input) {
            case 'careless':
              unawaited(Future<void>.delayed(Duration.zero, () => throw StateError('forgotten')));
            case 'print':
              print('by print'); // ignore: avoid_print
              await ctx.print('by frame');
            case 'flood':
              for (var line = 0; line < _lines; line++) {
                await ctx.print(_line);
              }
            case 'careless flood':
              var refused = 0;
              for (var line = 0; line < _lines; line++) {
                unawaited(ctx.publish('a.b', _line).catchError((Object _) => refused++));
              }
              await null;
              return refused > 0;
          }
          return input;
        },
      ),
    ]);
