Detector = Face = Verdict = None
